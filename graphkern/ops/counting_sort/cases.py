from __future__ import annotations

from torch import Tensor

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.counting_sort import COUNTING_SORT


def counting_sort(index: Tensor, num_bins: int) -> tuple[Tensor, Tensor]:
    return COUNTING_SORT(index, num_bins)


def _make(size: int, num_bins: int):
    def make(m: Maker) -> tuple[tuple, dict]:
        return (m.index(size, num_bins), num_bins), {}

    return make


SUITE = Suite(
    function=counting_sort,
    ops=("counting_sort",),
    cases=(
        Case("tiny", _make(10, 4)),
        Case("one-bin", _make(50, 1)),
        Case("sparse-bins", _make(100, 5000)),
        Case("in-chunks", _make(140_000, 100)),
        Case("empty", _make(0, 3)),
        Case("nothing", _make(0, 0)),
        Case("1M-in-100k", _make(1_000_000, 100_000), bench=True),
    ),
    differentiable=0,
    traffic=lambda out, index, num_bins: 3 * index.nbytes + nbytes(*out),
)
