from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.sddmm import sddmm


def _make(num_rows: int, num_cols: int, num_edges: int, *features: int, hub: int = 0):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(num_rows, num_cols, num_edges, hub)
        return (adj, m.normal(num_rows, *features), m.normal(num_cols, *features)), {}

    return make


def _traffic(out, adj, q, k) -> int:
    return adj.num_edges * (k.nbytes // max(k.shape[0], 1)) + nbytes(adj, q, out)


SUITE = Suite(
    function=sddmm,
    ops=("sddmm", "spmm", "counting_sort"),
    cases=(
        Case("tiny", _make(6, 5, 14, 3), tiny=True),
        Case("tiny-heads", _make(5, 6, 12, 2, 2), tiny=True),
        Case("hub", _make(40, 30, 100, 16, hub=2000)),
        Case("power-law", _make(300, 200, 3000, 70)),
        Case("power-law-heads", _make(200, 300, 2000, 4, 9)),
        Case("no-edges", _make(4, 3, 0, 5)),
        Case("no-rows", _make(0, 3, 0, 4)),
        Case("uniform-50k-x15-F64", _make(50_000, 50_000, 750_000, 64), bench=True),
    ),
    differentiable=2,
    traffic=_traffic,
    memory=(Case("memory", _make(20_000, 20_000, 1_000_000, 64)), 32 << 20),
)
