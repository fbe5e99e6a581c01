from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.sample_neighbors_hetero import HeteroSubgraph, sample_neighbors_hetero

BUYS, BOUGHT, ALIKE = ("item", "buys", "user"), ("user", "bought", "item"), ("item", "alike", "item")


def _make(fanouts, scale: int = 1, **options):
    def make(m: Maker) -> tuple[tuple, dict]:
        users, items = 100 * scale, 60 * scale
        adjs = {
            BUYS: m.graph(users, items, 900 * scale),
            BOUGHT: m.graph(items, users, 700 * scale, 90),
            ALIKE: m.graph(items, items, 400 * scale),
        }
        seeds = {"user": m.index(7 * scale, users), "item": m.index(3 * scale, items)}
        return (adjs, seeds, fanouts), {"seed": 2, **options}

    return make


def _temporal(m: Maker) -> tuple[tuple, dict]:
    (adjs, seeds, fanouts), options = _make([4, 3])(m)
    node_time = {"user": m.index(100, 40).long(), "item": m.index(60, 40).long()}
    return (adjs, seeds, fanouts), options | {"node_time": node_time}


def _weighted(m: Maker) -> tuple[tuple, dict]:
    (adjs, seeds, fanouts), options = _make([4, 3])(m)
    return (adjs, seeds, fanouts), options | {
        "weight": {key: m.normal(a.num_edges).abs().float() for key, a in adjs.items()}
    }


def _users_only(m: Maker) -> tuple[tuple, dict]:
    (adjs, seeds, fanouts), options = _make({BUYS: [3, 0], BOUGHT: [0, 2], ALIKE: [-1, -1]})(m)
    return (adjs, {"user": seeds["user"]}, fanouts), options


def _traffic(out: HeteroSubgraph, *rest, **more) -> int:
    edges = list(out.edge_id.values())
    return nbytes(*out.nodes.values(), *out.adjs.values(), *edges, *edges)


SUITE = Suite(
    function=sample_neighbors_hetero,
    ops=("sample_neighbors",),
    cases=(
        Case("two-hops", _make([4, 3])),
        Case("disjoint", _make([4, -1], disjoint=True)),
        Case("many-threads", _make([10, 10, 5], scale=20)),
        Case("users-only", _users_only),
        Case("temporal", _temporal),
        Case("weighted", _weighted),
    ),
    differentiable=0,
    static_shapes=False,
    traffic=_traffic,
)
