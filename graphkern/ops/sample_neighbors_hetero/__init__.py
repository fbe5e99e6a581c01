"""Neighbor sampling over several relations between nodes of several types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from graphkern.csr import CSR
from graphkern.ops import _check, _sample
from graphkern.ops._sample import EdgeType
from graphkern.ops.sample_neighbors import SAMPLE_NEIGHBORS


@dataclass(frozen=True, eq=False)
class HeteroSubgraph:
    """A sampled neighborhood; the nodes of each type are renumbered in order of first sight, seeds first.

    nodes: [n] global ids of each type.
    adjs: by (source type, relation, destination type) the sampled edges; rows are local destination nodes, columns
        local source nodes. Rows of the last hop are empty.
    edge_id: [e] positions in the caller's edge order, in CSR order of each of adjs.
    num_nodes_per_hop: by type, nodes first seen at each hop, the seeds before the first (hops + 1 numbers).
    num_edges_per_hop: by (source type, relation, destination type), edges drawn at each hop.
    batch: by type, [n] the number of the seed whose subgraph a node belongs to, counted through the types of seeds in
        the order of nodes; None where subgraphs are one.
    """

    nodes: dict[str, Tensor]
    adjs: dict[EdgeType, CSR]
    edge_id: dict[EdgeType, Tensor]
    num_nodes_per_hop: dict[str, list[int]]
    num_edges_per_hop: dict[EdgeType, list[int]]
    batch: dict[str, Tensor] | None = None


def sample_neighbors_hetero(
    adjs: Mapping[EdgeType, CSR],
    seeds: Mapping[str, Tensor],
    fanouts: Sequence[int] | Mapping[EdgeType, Sequence[int]],
    *,
    replace: bool = False,
    weight: Mapping[EdgeType, Tensor] | None = None,
    edge_time: Mapping[EdgeType, Tensor] | None = None,
    node_time: Mapping[str, Tensor] | None = None,
    seed_time: Mapping[str, Tensor] | None = None,
    temporal: str = "uniform",
    disjoint: bool = False,
    labor: bool = False,
    seed: int = 0,
) -> HeteroSubgraph:
    """Sample neighbors hop by hop along every relation and renumber the nodes of each type.

    At each hop every relation, in the order of adjs, expands the nodes of its destination type that the hop before
    found.

    Args:
        adjs: by (source type, relation, destination type) a graph whose rows are nodes of the destination type and
            columns those of the source type; one index dtype.
        seeds: by type, int32 or int64 nodes to start from.
        fanouts: one number a hop for every relation, or for each of adjs its own, all of one length; -1 takes all.
        weight, edge_time: for each of adjs, as for sample_neighbors. node_time: for each type that is a source.
        seed_time: by type, for each seed; None with node_time is that of the seeds.
        replace, temporal, disjoint, labor, seed: as for sample_neighbors.
    Returns: HeteroSubgraph with every type and relation of adjs.
    Raises: as sample_neighbors; ValueError for a type or relation that adjs lack or that a mapping leaves out, and for
        graphs that disagree about the number of nodes of a type.
    Cost: as sample_neighbors. No gradient.
    """
    _check_graphs(adjs)
    kinds = list(dict.fromkeys(kind for source, _, destination in adjs for kind in (destination, source)))
    options = _sample.Options(replace, temporal, disjoint, labor, seed)
    for name, given, known in (
        ("seeds", seeds, kinds), ("seed_time", seed_time, kinds), ("node_time", node_time, kinds),
        ("weight", weight, adjs), ("edge_time", edge_time, adjs),
    ):  # fmt: skip
        unknown = [key for key in given or () if key not in known]
        if unknown:
            raise ValueError(f"{name} has {unknown[0]!r}, which adjs lack")
    relations = {
        key: _sample.relation(
            adj,
            _entry(weight, key, "weight"),
            _entry(edge_time, key, "edge_time"),
            _entry(node_time, key[0], "node_time"),
            f"[{key!r}]",
        )
        for key, adj in adjs.items()
    }
    first = next(iter(relations.values()))
    device = next((nodes.device for nodes in seeds.values() if isinstance(nodes, Tensor)), first.adj.device)
    nothing = first.adj.indptr.new_empty(0, device=device)
    starts = {kind: seeds.get(kind, nothing) for kind in kinds}
    times = _sample.seed_times(first, starts, seed_time or {}, node_time or {})
    per_hop = _fanouts(fanouts, adjs)
    sample = SAMPLE_NEIGHBORS(*_sample.arguments(relations, starts, times, per_hop, options))
    nodes, batch, indptr, indices, edge, nodes_per_hop, edges_per_hop = sample
    found = dict(zip(kinds, nodes, strict=True))
    return HeteroSubgraph(
        nodes=found,
        adjs={
            key: CSR(pointers, columns, found[key[0]].shape[0], validate=False)
            for key, pointers, columns in zip(adjs, indptr, indices, strict=True)
        },
        edge_id=dict(zip(adjs, edge, strict=True)),
        num_nodes_per_hop=dict(zip(kinds, nodes_per_hop.tolist(), strict=True)),
        num_edges_per_hop=dict(zip(adjs, edges_per_hop.tolist(), strict=True)),
        batch=dict(zip(kinds, batch, strict=True)) if disjoint or times else None,
    )


def _check_graphs(adjs: Mapping[EdgeType, CSR]) -> None:
    if not adjs:
        raise ValueError("adjs must have a relation")
    for key, adj in adjs.items():
        if not isinstance(key, tuple) or len(key) != 3:
            raise ValueError(f"adjs must be keyed by (source type, relation, destination type) but has {key!r}")
        _check.is_csr(adj)
    if len({(adj.dtype, adj.device) for adj in adjs.values()}) > 1:
        raise ValueError("adjs must have one index dtype and one device")


def _entry(given: Mapping | None, key: object, name: str) -> Tensor | None:
    if given is None:
        return None
    if key not in given:
        raise ValueError(f"{name} leaves out {key!r}")
    return given[key]


def _fanouts(given: Sequence[int] | Mapping[EdgeType, Sequence[int]], adjs: Mapping[EdgeType, CSR]) -> list[int]:
    """Hop after hop, each of every relation."""
    if not isinstance(given, Mapping):
        return [fanout for fanout in _sample.fanouts(given) for _ in adjs]
    unknown = [key for key in given if key not in adjs]
    if unknown:
        raise ValueError(f"fanouts has {unknown[0]!r}, which adjs lack")
    lists = []
    for key in adjs:
        if key not in given:
            raise ValueError(f"fanouts leaves out {key!r}")
        lists.append(_sample.fanouts(given[key]))
    if len({len(numbers) for numbers in lists}) > 1:
        raise ValueError(
            f"fanouts must have one length for all relations but have {[len(numbers) for numbers in lists]}"
        )
    return [numbers[hop] for hop in range(len(lists[0])) for numbers in lists]
