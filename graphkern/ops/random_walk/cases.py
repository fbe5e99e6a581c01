from __future__ import annotations

from graphkern.csr import CSR
from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.random_walk import random_walk


def _make(num_nodes: int, num_edges: int, num_walks: int, length: int, p: float = 1.0, q: float = 1.0, hub: int = 0):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(num_nodes, num_nodes, num_edges, hub)
        return (adj, m.index(num_walks, num_nodes), length), {"p": p, "q": q, "seed": 5 * num_walks}

    return make


def _sorted(m: Maker) -> tuple[tuple, dict]:
    """Rows in ascending order, without parallel edges."""
    adj = CSR(m.given([0, 3, 5, 5, 9]), m.given([1, 2, 3, 0, 3, 0, 1, 2, 3]), 4)
    return (adj, m.given([0, 1, 2, 3] * 20), 9), {"p": 3.0, "q": 0.2, "seed": -(2**63)}


def _without_sets(m: Maker) -> tuple[tuple, dict]:
    """As while compiling: rows in no order are searched from end to end."""
    adj = m.graph(30, 30, 200)
    adj.derived["column_sets"] = None
    return (adj, m.index(50, 30), 6), {"p": 2.0, "q": 0.3}


SUITE = Suite(
    function=random_walk,
    ops=("random_walk",),
    cases=(
        Case("node2vec", _make(100, 600, 40, 12, p=0.5, q=2.0)),
        Case("uniform", _make(100, 600, 40, 13)),
        Case("far", _make(100, 600, 150, 9, p=4.0, q=0.25)),
        Case("back", _make(60, 300, 70, 7, p=0.01)),
        Case("hardly-ever-accepted", _make(60, 300, 70, 7, p=1e-9, q=1e6)),
        Case("hub", _make(50, 100, 80, 10, p=2.0, q=0.5, hub=3000)),
        Case("sorted", _sorted),
        Case("without-sets", _without_sets),
        Case("uniform-many-threads", _make(3000, 20000, 5000, 20)),
        Case("node2vec-many-threads", _make(3000, 20000, 600, 6, p=0.5, q=2.0)),
        Case("no-edges", _make(5, 0, 3, 4, p=2.0)),
        Case("no-steps", _make(5, 20, 3, 0)),
        Case("no-walks", _make(5, 20, 0, 4, q=2.0)),
        Case("B100k-L20", _make(100_000, 1_000_000, 100_000, 20), bench=True),
        Case("B100k-L20-node2vec", _make(100_000, 1_000_000, 100_000, 20, p=0.5, q=2.0), bench=True),
    ),
    differentiable=0,
    traffic=lambda out, *rest, **more: 2 * nbytes(out),
)
