from __future__ import annotations

import torch

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.sample_neighbors import sample_neighbors


def _make(num_nodes: int, num_edges: int, num_seeds: int, fanouts: list[int], replace: bool = False, hub: int = 0):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(num_nodes, num_nodes, num_edges, hub)
        return (adj, m.index(num_seeds, num_nodes), fanouts), {"replace": replace, "seed": 7 * num_seeds}

    return make


def _weighted(replace: bool, hub: int = 0):
    """A third of the edges have weight 0."""

    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(200, 200, 2000, hub)
        weight = (m.normal(adj.num_edges).abs() * (m.index(adj.num_edges, 3) > 0)).to(torch.float64)
        return (adj, m.index(9, 200), [4, 3, 70]), {"replace": replace, "weight": weight, "seed": 11}

    return make


def _temporal(temporal: str, of_nodes: bool = False, weighted: bool = False, **options):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(200, 200, 3000, 100)
        size = adj.num_cols if of_nodes else adj.num_edges
        name, weight = "node_time" if of_nodes else "edge_time", m.normal(adj.num_edges).abs().float()
        times = {name: m.index(size, 50).long(), "seed_time": m.index(12, 60).long()}
        more = {"weight": weight} if weighted else {}
        return (adj, m.index(12, 200), [5, -1, 3]), {"temporal": temporal, "seed": 5, **times, **more, **options}

    return make


def _with(fanouts: list[int], num_seeds: int = 10, hub: int = 0, **options):
    def make(m: Maker) -> tuple[tuple, dict]:
        return (m.graph(300, 300, 3000, hub), m.index(num_seeds, 300), fanouts), {"seed": 3, **options}

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
        Case("wide-fanout", _with([200, 3], hub=1000)),
        Case("disjoint", _with([5, 4, 3], disjoint=True)),
        Case("disjoint-replace", _with([5, 4], disjoint=True, replace=True)),
        Case("labor", _with([5, 4, 3], hub=500, labor=True)),
        Case("labor-disjoint", _with([5, 4], labor=True, disjoint=True)),
        Case("weighted", _weighted(replace=False)),
        Case("weighted-hub", _weighted(replace=False, hub=2000)),
        Case("weighted-replace", _weighted(replace=True, hub=2000)),
        Case("temporal", _temporal("uniform")),
        Case("temporal-replace", _temporal("uniform", replace=True)),
        Case("temporal-last", _temporal("last")),
        Case("temporal-nodes", _temporal("uniform", of_nodes=True)),
        Case("temporal-weighted", _temporal("uniform", weighted=True)),
        Case("temporal-labor", _temporal("uniform", labor=True)),
        Case("many-threads", _make(3000, 60000, 500, [10, 8, 3])),
        Case("many-threads-disjoint", _with([10, 8, 3], num_seeds=200, disjoint=True)),
        Case("no-edges", _make(5, 0, 3, [2, 2])),
        Case("no-seeds", _make(5, 10, 0, [2])),
        Case("B1024-15-10-5", _make(100_000, 1_000_000, 1024, [15, 10, 5]), bench=True),
    ),
    differentiable=0,
    static_shapes=False,
    traffic=lambda out, *rest, **more: nbytes(out.nodes, out.adj, out.edge_id) + out.edge_id.nbytes,
)
