from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.sample_neighbors import sample_neighbors


def _make(num_nodes: int, num_edges: int, num_seeds: int, fanouts: list[int], replace: bool = False, hub: int = 0):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(num_nodes, num_nodes, num_edges, hub)
        return (adj, m.index(num_seeds, num_nodes), fanouts), {"replace": replace, "seed": 7 * num_seeds}

    return make


def _negative_seed(m: Maker) -> tuple[tuple, dict]:
    return (m.graph(30, 30, 300), m.given([3, 1, 3]), [2, 2]), {"seed": -(2**62) - 5}


SUITE = Suite(
    function=sample_neighbors,
    ops=("sample_neighbors",),
    cases=(
        Case("one-hop", _make(20, 100, 4, [3])),
        Case("three-hops", _make(300, 3000, 10, [5, 4, 3])),
        Case("replace", _make(300, 3000, 10, [5, 4], replace=True)),
        Case("all-neighbors", _make(100, 400, 5, [-1, -1])),
        Case("mixed", _make(200, 2000, 6, [-1, 3, 0, 2])),
        Case("hub", _make(50, 100, 8, [40, 100], hub=1000)),
        Case("hub-replace", _make(50, 100, 8, [40, 50], replace=True, hub=1000)),
        Case("repeated-negative-seed", _negative_seed),
        Case("no-edges", _make(5, 0, 3, [2, 2])),
        Case("no-seeds", _make(5, 10, 0, [2])),
        Case("B1024-15-10-5", _make(100_000, 1_000_000, 1024, [15, 10, 5]), bench=True),
    ),
    differentiable=0,
    static_shapes=False,
    traffic=lambda out, *rest, **more: nbytes(out.nodes, out.adj, out.edge_id) + out.edge_id.nbytes,
)
