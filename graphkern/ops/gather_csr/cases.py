from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.gather_csr import gather_csr
from graphkern.ops.segment_reduce.cases import random_indptr


def _make(length: int, *shape: int, dim: int = 0, hub: int = 0, given: bool = False):
    """given: output_size is an argument."""

    def make(m: Maker) -> tuple[tuple, dict]:
        size = {"output_size": length} if given else {}
        return (m.normal(*shape), random_indptr(m, shape[dim], length, hub)), {"dim": dim, **size}

    return make


def _outside(m: Maker) -> tuple[tuple, dict]:
    return (m.normal(4, 3), m.given([1, 3, 3, 6, 7])), {"output_size": 9}


SUITE = Suite(
    function=gather_csr,
    ops=("gather_csr", "segment_reduce"),
    cases=(
        Case("tiny", _make(11, 5, 3, given=True), tiny=True),
        Case("tiny-outside", _outside, tiny=True),
        Case("tiny-last", _make(9, 2, 4, dim=-1, given=True), tiny=True),
        Case("short", _make(3000, 300, 70)),
        Case("long", _make(9000, 12, 33, hub=5000)),
        Case("long-K1", _make(9000, 12, hub=5000)),
        Case("K1", _make(3000, 500)),
        Case("K3", _make(3000, 500, 3)),
        Case("last", _make(300, 40, 30, dim=-1)),
        Case("middle", _make(200, 3, 20, 2, 9, dim=1)),
        Case("empty", _make(0, 5, 4)),
        Case("no-segments", _make(0, 0, 4)),
        Case("no-features", _make(6, 3, 0)),
        Case("no-batch", _make(6, 0, 3, dim=1)),
        Case("1M-from-100k-K1", _make(1_000_000, 100_000), bench=True),
        Case("1M-from-100k-K64", _make(1_000_000, 100_000, 64), bench=True),
    ),
    differentiable=2,
    traffic=lambda out, src, indptr, **how: nbytes(out, src, indptr),
    memory=(Case("memory", _make(1_000_000, 20_000, 64)), 16 << 20),
)
