from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops._check import REDUCES
from graphkern.ops.scatter_reduce import scatter_reduce


def _index(m: Maker, size: int, num_out: int, skew: bool, hub: int) -> Tensor:
    """[size]; skew: one in two in the first eighth; the first `hub` entries have index 1."""
    index = m.index(size, num_out)
    if skew:
        index = (index.double() / max(num_out, 1)).pow(3).mul(num_out).to(index.dtype)
    index[:hub] = 1
    return index


def _make(
    num_out: int,
    *shape: int,
    dim: int = 0,
    reduce: str = "sum",
    skew: bool = False,
    hub: int = 0,
    given: bool = True,
    scale: float = 1,
):
    """A 1-D index. given: dim_size is an argument."""

    def make(m: Maker) -> tuple[tuple, dict]:
        src = m.normal(*shape) / scale
        index = _index(m, shape[dim], num_out, skew, hub)
        return (src, index, num_out if given else None), {"reduce": reduce, "dim": dim}

    return make


def _wide(num_out: int, shape: tuple[int, ...], index_shape: tuple[int, ...], dim: int, reduce: str = "sum"):
    """An index of the given shape."""

    def make(m: Maker) -> tuple[tuple, dict]:
        index = m.index(torch.Size(index_shape).numel(), num_out).reshape(index_shape)
        return (m.normal(*shape), index, num_out), {"reduce": reduce, "dim": dim}

    return make


def _equal(m: Maker) -> tuple[tuple, dict]:
    return (m.small_integers(400, 17), m.index(400, 20), 20), {"reduce": "max"}


def _by_reduce(reduce: str) -> tuple[Case, ...]:
    return (
        Case(f"tiny-{reduce}", _make(5, 12, 3, reduce=reduce), tiny=True),
        Case(f"tiny-last-{reduce}", _make(4, 2, 9, dim=-1, reduce=reduce), tiny=True),
        Case(f"tiny-full-{reduce}", _wide(4, (7, 3), (7, 3), 0, reduce), tiny=True),
        Case(f"skew-{reduce}", _make(300, 3000, 70, reduce=reduce, skew=True)),
        Case(f"size-{reduce}", _make(50, 300, 5, reduce=reduce, given=False)),
        Case(f"hub-{reduce}", _make(40, 9000, 33, reduce=reduce, hub=5000, scale=30)),
        Case(f"hub-K1-{reduce}", _make(40, 9000, reduce=reduce, hub=5000, scale=30)),
        Case(f"K1-{reduce}", _make(500, 3000, reduce=reduce)),
        Case(f"last-{reduce}", _make(30, 40, 300, dim=-1, reduce=reduce)),
        Case(f"middle-{reduce}", _make(20, 3, 200, 2, 9, dim=1, reduce=reduce)),
        Case(f"full-{reduce}", _wide(20, (3, 200, 18), (3, 200, 18), 1, reduce)),
        Case(f"full-1-{reduce}", _wide(20, (2000,), (2000,), 0, reduce)),
        Case(f"rows-{reduce}", _wide(20, (300, 18), (300, 1), 0, reduce)),
        Case(f"columns-{reduce}", _wide(20, (4, 50, 5), (1, 50, 5), 1, reduce)),
        Case(f"batches-{reduce}", _wide(20, (3, 4, 50, 5), (3, 1, 50), 2, reduce)),
        Case(f"empty-{reduce}", _make(5, 0, 4, reduce=reduce)),
        Case(f"sparse-{reduce}", _make(5000, 100, 4, reduce=reduce)),
    )


_EMPTY = (
    Case("nothing", _make(0, 0, 4)),
    Case("no-features", _make(3, 6, 0)),
    Case("no-features-max", _make(3, 6, 0, reduce="max")),
    Case("no-batch", _make(3, 0, 6, dim=1, reduce="mean")),
    Case("equal-max", _equal),
)
_BENCH = tuple(
    Case(
        f"1M-in-100k-K{features}{name}-{reduce}",
        _make(100_000, 1_000_000, features, reduce=reduce, skew=skew),
        bench=True,
    )
    for features in (1, 16, 64)
    for name, skew in (("", False), ("-skew", True))
    for reduce in ("sum", "max")
)

SUITE = Suite(
    function=scatter_reduce,
    ops=("scatter_reduce", "scatter_extremum", "gather_index", "put_winners", "take_winners"),
    cases=tuple(case for reduce in REDUCES for case in _by_reduce(reduce)) + _EMPTY + _BENCH,
    differentiable=2,
    traffic=lambda out, src, index, *size, **how: nbytes(out, src, index),
    memory=(Case("memory", _make(20_000, 1_000_000, 64)), 48 << 20),
)
