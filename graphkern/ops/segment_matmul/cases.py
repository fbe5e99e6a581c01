from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.segment_matmul import segment_matmul
from graphkern.ops.segment_reduce.cases import random_indptr


def _make(num_segments: int, length: int, f_in: int, f_out: int, hub: int = 0):
    def make(m: Maker) -> tuple[tuple, dict]:
        weight = m.normal(num_segments, f_in, f_out) / max(f_in, 1) ** 0.5
        return (m.normal(length, f_in), random_indptr(m, num_segments, length, hub), weight), {}

    return make


SUITE = Suite(
    function=segment_matmul,
    ops=("segment_matmul", "segment_outer"),
    cases=(
        Case("tiny", _make(4, 9, 3, 2), tiny=True),
        Case("tiny-one", _make(1, 4, 1, 3), tiny=True),
        Case("many", _make(80, 800, 16, 24)),
        Case("long", _make(5, 9000, 33, 17, hub=8000)),
        Case("wide", _make(3, 100, 200, 300)),
        Case("empty", _make(3, 0, 4, 5)),
        Case("no-segments", _make(0, 0, 4, 5)),
        Case("no-input", _make(3, 6, 0, 5)),
        Case("no-output", _make(3, 6, 4, 0)),
        Case("500k-in-50-F64", _make(50, 500_000, 64, 64), bench=True),
        Case("500k-in-5000-F64", _make(5000, 500_000, 64, 64), bench=True),
    ),
    differentiable=2,
    traffic=lambda out, x, indptr, weight: nbytes(out, x, indptr, weight),
    memory=(Case("memory", _make(10, 500_000, 64, 64)), 32 << 20),
)
