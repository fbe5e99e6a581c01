from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.induced_subgraph import induced_subgraph


def _make(num_nodes: int, num_edges: int, num_kept: int, hub: int = 0):
    def make(m: Maker) -> tuple[tuple, dict]:
        nodes = m.normal(num_nodes).double().argsort()[:num_kept]
        return (m.graph(num_nodes, num_nodes, num_edges, hub), m.given(nodes.tolist())), {}

    return make


SUITE = Suite(
    function=induced_subgraph,
    ops=("induced_subgraph",),
    cases=(
        Case("tenth", _make(200, 4000, 20)),
        Case("all", _make(50, 300, 50)),
        Case("hub", _make(60, 200, 30, hub=3000)),
        Case("few-of-many", _make(5000, 10_000, 40)),
        Case("many-threads", _make(3000, 60_000, 2000)),
        Case("no-edges", _make(5, 0, 3)),
        Case("no-nodes", _make(5, 10, 0)),
        Case("10k-of-100k", _make(100_000, 2_000_000, 10_000), bench=True),
    ),
    differentiable=0,
    static_shapes=False,
    traffic=lambda out, *rest: nbytes(out.adj, out.edge_id, out.nodes),
)
