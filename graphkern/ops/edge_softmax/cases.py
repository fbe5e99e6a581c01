from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.edge_softmax import edge_softmax


def _make(num_rows: int, num_edges: int, heads: int, hub: int = 0, spread: float = 1.0):
    """heads 0: score [E]."""

    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(num_rows, num_rows, num_edges, hub)
        shape = (adj.num_edges, heads) if heads else (adj.num_edges,)
        return (adj, spread * m.normal(*shape)), {}

    return make


SUITE = Suite(
    function=edge_softmax,
    ops=("edge_softmax", "edge_softmax_backward"),
    cases=(
        Case("tiny", _make(5, 12, 0), tiny=True),
        Case("tiny-heads", _make(4, 9, 2), tiny=True),
        Case("hub", _make(40, 300, 0, hub=5000)),
        Case("hub-heads", _make(40, 300, 5, hub=5000)),
        Case("power-law", _make(300, 3000, 0)),
        Case("power-law-heads", _make(300, 3000, 4)),
        Case("many-heads", _make(50, 700, 70)),
        Case("sharp", _make(50, 700, 8, spread=40)),
        Case("no-edges", _make(4, 0, 3)),
        Case("no-rows", _make(0, 0, 3)),
        Case("no-heads", lambda m: ((m.graph(4, 4, 6), m.normal(6, 0)), {})),
        Case("uniform-50k-x15", _make(50_000, 750_000, 0), bench=True),
        Case("uniform-50k-x15-H4", _make(50_000, 750_000, 4), bench=True),
    ),
    differentiable=2,
    traffic=lambda out, adj, score: nbytes(adj.indptr, score, out),
    memory=(Case("memory", _make(20_000, 1_000_000, 4)), 8 << 20),
)
