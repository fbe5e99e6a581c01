"""hetero_neighbor_sample as the operator takes it: edge types are named "source__relation__destination"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from graphkern import ops
from graphkern.compat._graph import fanouts, graph_of, random_seed, width
from graphkern.compat.pyg_lib import _inputs
from graphkern.csr import CSR, check_range, row_index
from graphkern.ops import HeteroSubgraph, _check

EdgeType = tuple[str, str, str]
Tensors = Mapping[str, Tensor]
_ROOM = 2**31  # random times for what has none, below all others


class _Relation(NamedTuple):
    """The key that graphkern knows it by. columns, rows: the node types that col and rowptr are of."""

    columns: str
    name: str
    rows: str


def sample(
    node_types: Sequence[str],
    edge_types: Sequence[EdgeType],
    rowptr_dict: Tensors,
    col_dict: Tensors,
    seed_dict: Tensors,
    num_neighbors_dict: Mapping[str, Sequence[int]],
    node_time_dict: Tensors | None = None,
    edge_time_dict: Tensors | None = None,
    seed_time_dict: Tensors | None = None,
    edge_weight_dict: Tensors | None = None,
    csc: bool = False,
    replace: bool = False,
    directed: bool = True,
    disjoint: bool = False,
    temporal_strategy: str = "uniform",
    return_edge_id: bool = True,
) -> tuple[dict, dict, dict, dict | None, dict, dict]:
    _inputs.check_options(node_time_dict, edge_time_dict, directed, disjoint, temporal_strategy, hetero=True)
    relations = [_Relation(key[0 if csc else 2], "__".join(key), key[2 if csc else 0]) for key in edge_types]
    _check_keys(node_types, relations, rowptr_dict, col_dict, seed_dict, num_neighbors_dict)
    hops = {r.name: fanouts(num_neighbors_dict[r.name]) for r in relations}
    num_hops = max((len(numbers) for numbers in hops.values()), default=0)
    node, num_nodes = _seeds_alone(node_types, seed_dict, num_hops, disjoint)
    if not relations:
        return {}, {}, node, {} if return_edge_id else None, num_nodes, {}
    adjs = _graphs(relations, rowptr_dict, col_dict, seed_dict, node_time_dict or {})
    kinds = {kind for r in relations for kind in (r.rows, r.columns)}
    seeds = {kind: nodes for kind, nodes in seed_dict.items() if kind in kinds}
    times: dict = {}
    if node_time_dict or edge_time_dict:
        limits = _limits(seeds, node_time_dict, seed_time_dict)
        times = _times(relations, adjs, col_dict, node_time_dict, edge_time_dict, limits, temporal_strategy)
    found = ops.sample_neighbors_hetero(
        adjs,
        seeds,
        {r: (hops[r.name] + [0] * max(num_hops, 1))[: max(num_hops, 1)] for r in relations},
        replace=replace,
        weight=_weights(relations, edge_weight_dict, col_dict, replace, hops) if edge_weight_dict else None,
        disjoint=disjoint,
        seed=random_seed(),
        **times,
    )
    node |= _nodes(found, seed_dict, seeds)
    num_nodes |= {kind: counts[: num_hops + 1] for kind, counts in found.num_nodes_per_hop.items()}
    row = {r.name: _expanded(found, r) for r in relations}
    column = {r.name: found.adjs[r].indices for r in relations}
    edge = {r.name: found.edge_id[r] for r in relations} if return_edge_id else None
    num_edges = {r.name: found.num_edges_per_hop[r][:num_hops] for r in relations}
    if csc:
        row, column = column, row
    return row, column, node, edge, num_nodes, num_edges


def _expanded(found: HeteroSubgraph, relation: _Relation) -> Tensor:
    """[e] row of each edge; nodes of the last hop have none."""
    adj, rows = found.adjs[relation], sum(found.num_nodes_per_hop[relation.rows][:-1])
    return row_index(adj.indptr[: rows + 1], adj.num_edges)


def _check_keys(
    node_types: Sequence[str],
    relations: Sequence[_Relation],
    rowptr: Tensors,
    col: Tensors,
    seeds: Tensors,
    num_neighbors: Mapping,
) -> None:
    for relation in relations:
        for name, given in (("rowptr_dict", rowptr), ("col_dict", col), ("num_neighbors_dict", num_neighbors)):
            if relation.name not in given:
                raise ValueError(f"{name} leaves out {relation.name!r}")
        for kind in (relation.columns, relation.rows):
            if kind not in node_types:
                raise ValueError(f"node_types leaves out {kind!r} of {relation.name!r}")
    for kind, nodes in seeds.items():
        if kind not in node_types:
            raise ValueError(f"seed_dict has {kind!r}, which is no node type")
        _check.index_dtype(nodes, f"seed_dict[{kind!r}]")
        if nodes.dim() != 1:
            raise ValueError(f"seed_dict[{kind!r}] must be 1-D but is {list(nodes.shape)}")


def _graphs(
    relations: Sequence[_Relation], rowptr: Tensors, col: Tensors, seeds: Tensors, node_time: Tensors
) -> dict[EdgeType, CSR]:
    """Graphs that agree about the number of nodes of each type: that of the rows of its relations, or of a type that
    has none as many as columns, times and seeds name."""
    widths = {r.name: width(col[r.name]) for r in relations}
    sizes = {r.rows: rowptr[r.name].numel() - 1 for r in relations}
    for kind in {r.columns for r in relations} - set(sizes):
        size = max(widths[r.name] for r in relations if r.columns == kind)
        if kind in node_time:
            size = max(size, node_time[kind].shape[0])
        elif kind in seeds and seeds[kind].numel():
            most = int(seeds[kind].max())
            if most >= size:
                size = 1 << most.bit_length()  # few different sizes: zeros of that size are kept
        sizes[kind] = size
    adjs: dict[EdgeType, CSR] = {}
    for r in relations:
        if widths[r.name] > sizes[r.columns]:
            raise ValueError(f"col_dict[{r.name!r}] reaches {widths[r.name] - 1}: {r.columns!r} has {sizes[r.columns]}")
        adj = graph_of(rowptr[r.name], col[r.name], widths[r.name])
        adjs[r] = CSR(adj.indptr, adj.indices, sizes[r.columns], validate=False)
    return adjs


def _weights(
    relations: Sequence[_Relation], given: Tensors, col: Tensors, replace: bool, hops: Mapping[str, Sequence[int]]
) -> dict[EdgeType, Tensor]:
    return {
        r: _inputs.weights(given[r.name], replace, hops[r.name]) if r.name in given else _inputs.ones(col[r.name])
        for r in relations
    }


def _times(
    relations: Sequence[_Relation],
    adjs: Mapping[EdgeType, CSR],
    col: Tensors,
    node_time: Tensors | None,
    edge_time: Tensors | None,
    limits: Tensors,
    strategy: str,
) -> dict:
    """Arguments for sample_neighbors_hetero. What has no time may always be drawn: its time is before all others, and
    where the last are wanted, random."""
    every: dict[EdgeType | str, tuple[int, Tensor]] = {}  # number of times, tensor that zeros of it are kept with
    given: dict[EdgeType | str, Tensor] = {}
    for r in relations:
        if node_time:
            every[r.columns] = adjs[r].num_cols, col[r.name]
            given |= {r.columns: node_time[r.columns]} if r.columns in node_time else {}
        else:
            every[r] = adjs[r].num_edges, col[r.name]
            given |= {r: edge_time[r.name]} if edge_time and r.name in edge_time else {}
    is_random = strategy == "last" and len(given) < len(every)
    moved, limits = _inputs.shifted(given, limits, _ROOM if is_random else 1)
    for key, (size, like) in every.items():
        if key not in given:
            random = torch.randint(_ROOM, (size,)) if is_random else None
            moved[key] = _inputs.zeros(like, size) if random is None else random.to(like.device)
    return {"node_time" if node_time else "edge_time": moved, "seed_time": limits, "temporal": strategy}


def _limits(seeds: Tensors, node_time: Tensors | None, seed_time: Tensors | None) -> dict[str, Tensor]:
    limits = {}
    for kind, nodes in seeds.items():
        if seed_time is not None and kind in seed_time:
            limits[kind] = seed_time[kind]
        elif seed_time is None and node_time is not None and kind in node_time:
            check_range(nodes, node_time[kind].shape[0], f"seed_dict[{kind!r}]")
            limits[kind] = node_time[kind][nodes.long()]
        elif nodes.numel():
            raise ValueError(f"there are no times of the seeds of type {kind!r}")
    return limits


def _seeds_alone(
    node_types: Sequence[str], seeds: Tensors, num_hops: int, disjoint: bool
) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Nodes of each type and their number at each hop, before anything is sampled."""
    first = next(iter(seeds.values()), torch.empty(0, dtype=torch.int64))
    node, counts, count = {}, {}, 0
    for kind in [*seeds, *(kind for kind in node_types if kind not in seeds)]:
        nodes = seeds.get(kind, first[:0])
        batch = torch.arange(count, count + nodes.shape[0], dtype=nodes.dtype, device=nodes.device)
        count += nodes.shape[0]
        node[kind] = torch.stack([batch, nodes], dim=1) if disjoint else nodes
        counts[kind] = [nodes.shape[0]] + [0] * num_hops
    return {kind: node[kind] for kind in node_types}, {kind: counts[kind] for kind in node_types}


def _nodes(found: HeteroSubgraph, seed_dict: Tensors, seeds: Tensors) -> dict[str, Tensor]:
    """Where subgraphs are disjoint, they are numbered through the types of seed_dict in its order."""
    if found.batch is None:
        return found.nodes
    sizes = [nodes.shape[0] for nodes in seed_dict.values()]
    starts = dict(zip(seed_dict, accumulate(sizes, initial=0), strict=False))
    order = [kind for kind in found.nodes if kind in seeds]  # in which graphkern counts
    numbers = [torch.arange(starts[kind], starts[kind] + seeds[kind].shape[0]) for kind in order]
    number = torch.cat([torch.empty(0, dtype=torch.int64), *numbers])
    return {
        kind: torch.stack([number.to(nodes)[found.batch[kind].long()], nodes], dim=1)
        for kind, nodes in found.nodes.items()
    }
