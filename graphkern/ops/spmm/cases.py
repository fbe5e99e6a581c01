from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops._check import REDUCES
from graphkern.ops.spmm import spmm


def _plain(num_rows: int, num_cols: int, num_edges: int, features: int, reduce: str, hub: int = 0):
    def make(m: Maker) -> tuple[tuple, dict]:
        return (m.graph(num_rows, num_cols, num_edges, hub), m.normal(num_cols, features)), {"reduce": reduce}

    return make


def _weighted(num_rows: int, num_cols: int, num_edges: int, heads: int, depth: int, reduce: str, hub: int = 0):
    """heads 0: weight [E] and x [M, depth]."""

    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(num_rows, num_cols, num_edges, hub)
        x = m.normal(num_cols, heads, depth) if heads else m.normal(num_cols, depth)
        weight = m.normal(adj.num_edges, heads) if heads else m.normal(adj.num_edges)
        return (adj, x, weight), {"reduce": reduce}

    return make


def _by_reduce(reduce: str) -> tuple[Case, ...]:
    return (
        Case(f"tiny-{reduce}", _plain(6, 5, 14, 3, reduce), tiny=True),
        Case(f"tiny-weighted-{reduce}", _weighted(6, 5, 14, 0, 2, reduce), tiny=True),
        Case(f"tiny-heads-{reduce}", _weighted(5, 6, 12, 2, 2, reduce), tiny=True),
        Case(f"hub-{reduce}", _plain(40, 30, 100, 16, reduce, hub=2000)),
        Case(f"power-law-{reduce}", _weighted(300, 200, 3000, 0, 70, reduce)),
        Case(f"power-law-heads-{reduce}", _weighted(200, 300, 2000, 4, 9, reduce)),
        Case(f"wide-{reduce}", _plain(50, 40, 400, 200, reduce)),
        Case(f"no-edges-{reduce}", _plain(4, 3, 0, 5, reduce)),
    )


_EMPTY = (
    Case("no-rows", _plain(0, 3, 0, 4, "sum")),
    Case("no-columns", _plain(3, 0, 0, 4, "sum")),
    Case("no-features", _plain(3, 4, 6, 0, "sum")),
    Case("no-features-heads", _weighted(3, 4, 6, 2, 0, "mean")),
    Case("no-features-max", _weighted(3, 4, 6, 0, 0, "max")),
)
_BENCH = (
    Case("uniform-50k-x15-F64", _plain(50_000, 50_000, 750_000, 64, "sum"), bench=True),
    Case("uniform-50k-x15-F64-max", _plain(50_000, 50_000, 750_000, 64, "max"), bench=True),
)


def _traffic(out, adj, x, weight=None, reduce="sum") -> int:
    """One feature row an edge, the graph and the weights once, the result once."""
    row = x.nbytes // max(x.shape[0], 1)
    return adj.num_edges * row + nbytes(adj, weight, out)


SUITE = Suite(
    function=spmm,
    ops=("spmm", "spmm_extremum", "spmm_extremum_grad_x", "spmm_extremum_grad_weight", "sddmm", "counting_sort"),
    cases=tuple(case for reduce in REDUCES for case in _by_reduce(reduce)) + _EMPTY + _BENCH,
    differentiable=2,
    traffic=_traffic,
    memory=(Case("memory", _weighted(20_000, 20_000, 1_000_000, 0, 64, "sum")), 32 << 20),
)
