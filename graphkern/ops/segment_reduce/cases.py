from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops._check import REDUCES
from graphkern.ops.segment_reduce import segment_reduce


def random_indptr(m: Maker, num_segments: int, length: int, hub: int = 0) -> Tensor:
    """[num_segments + 1] from 0 to length: uneven segments, some of them empty, one with at least `hub` entries."""
    cuts = m.index(max(num_segments - 1, 0), length - hub + 1).sort().values
    cuts[num_segments // 2 :] += hub
    ends = torch.tensor([0, length][: num_segments + 1], dtype=cuts.dtype, device=cuts.device)
    return torch.cat([ends[:1], cuts, ends[1:]])


def _make(num_segments: int, *shape: int, dim: int = 0, reduce: str = "sum", hub: int = 0, scale: float = 1):
    def make(m: Maker) -> tuple[tuple, dict]:
        src = m.normal(*shape) / scale
        return (src, random_indptr(m, num_segments, shape[dim], hub)), {"reduce": reduce, "dim": dim}

    return make


def _outside(reduce: str):
    """Entries that belong to no segment, at both ends, and empty segments."""

    def make(m: Maker) -> tuple[tuple, dict]:
        return (m.normal(9, 2), m.given([2, 4, 4, 7, 7])), {"reduce": reduce}

    return make


def _equal(m: Maker) -> tuple[tuple, dict]:
    return (m.small_integers(400, 17), random_indptr(m, 20, 400)), {"reduce": "max"}


def _by_reduce(reduce: str) -> tuple[Case, ...]:
    return (
        Case(f"tiny-{reduce}", _make(5, 12, 3, reduce=reduce), tiny=True),
        Case(f"tiny-outside-{reduce}", _outside(reduce), tiny=True),
        Case(f"tiny-last-{reduce}", _make(4, 2, 9, dim=-1, reduce=reduce), tiny=True),
        Case(f"short-{reduce}", _make(300, 3000, 70, reduce=reduce)),
        Case(f"long-{reduce}", _make(12, 9000, 33, reduce=reduce, hub=5000, scale=30)),
        Case(f"long-K1-{reduce}", _make(12, 9000, reduce=reduce, hub=5000, scale=30)),
        Case(f"K1-{reduce}", _make(500, 3000, reduce=reduce)),
        Case(f"K3-{reduce}", _make(500, 3000, 3, reduce=reduce)),
        Case(f"last-{reduce}", _make(30, 40, 300, dim=-1, reduce=reduce)),
        Case(f"last-long-{reduce}", _make(5, 6, 3000, dim=1, reduce=reduce, hub=2500, scale=30)),
        Case(f"middle-{reduce}", _make(20, 3, 200, 2, 9, dim=1, reduce=reduce)),
        Case(f"empty-{reduce}", _make(5, 0, 4, reduce=reduce)),
    )


_EMPTY = (
    Case("no-segments", _make(0, 6, 4)),
    Case("no-features", _make(3, 6, 0)),
    Case("no-features-max", _make(3, 6, 0, reduce="max")),
    Case("no-batch", _make(3, 0, 6, dim=1, reduce="mean")),
    Case("equal-max", _equal),
)
_BENCH = tuple(
    Case(f"1M-in-100k-K{features}-{reduce}", _make(100_000, 1_000_000, features, reduce=reduce), bench=True)
    for features in (1, 16, 64)
    for reduce in ("sum", "max")
)

SUITE = Suite(
    function=segment_reduce,
    ops=("segment_reduce", "segment_extremum", "gather_csr", "put_winners", "take_winners"),
    cases=tuple(case for reduce in REDUCES for case in _by_reduce(reduce)) + _EMPTY + _BENCH,
    differentiable=2,
    traffic=lambda out, src, indptr, **how: nbytes(out, src, indptr),
    memory=(Case("memory", _make(20_000, 1_000_000, 64)), 16 << 20),
)
