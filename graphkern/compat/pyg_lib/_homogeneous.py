"""neighbor_sample as the operator takes it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkern import ops
from graphkern.compat._graph import fanouts, graph_of, random_seed
from graphkern.compat.pyg_lib import _inputs
from graphkern.csr import check_range, row_index


def sample(
    rowptr: Tensor,
    col: Tensor,
    seed: Tensor,
    num_neighbors: Sequence[int],
    node_time: Tensor | None = None,
    edge_time: Tensor | None = None,
    seed_time: Tensor | None = None,
    edge_weight: Tensor | None = None,
    csc: bool = False,
    replace: bool = False,
    directed: bool = True,
    disjoint: bool = False,
    temporal_strategy: str = "uniform",
    return_edge_id: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, list[int], list[int]]:
    _inputs.check_options(node_time, edge_time, directed, disjoint, temporal_strategy, hetero=False)
    adj, hops = graph_of(rowptr, col), fanouts(num_neighbors)
    time = node_time if edge_time is None else edge_time
    if time is None:
        seed_time, temporal_strategy = None, "uniform"
    else:
        if seed_time is None and edge_time is not None:
            raise ValueError("edge_time needs seed_time")
        check_range(seed, adj.num_rows, "seed")
        moved, limits = _inputs.shifted({"": time}, {} if seed_time is None else {"": seed_time})
        time, seed_time = moved[""], limits.get("")
    found = ops.sample_neighbors(
        adj,
        seed,
        hops or [0],
        replace=replace,
        weight=None if edge_weight is None else _inputs.weights(edge_weight, replace, hops),
        edge_time=None if edge_time is None else time,
        node_time=None if node_time is None else time,
        seed_time=seed_time,
        temporal=temporal_strategy,
        disjoint=disjoint,
        seed=random_seed(),
    )
    if directed:
        adj, edge = found.adj, found.edge_id
        expanded = sum(found.num_nodes_per_hop[:-1])  # nodes of the last hop have no edges
        row = row_index(adj.indptr[: expanded + 1], adj.num_edges)
    else:
        induced = ops.induced_subgraph(adj, found.nodes)
        adj, edge, row = induced.adj, induced.edge_id, induced.adj.row_index()
    column = adj.indices
    node = found.nodes if found.batch is None else torch.stack([found.batch, found.nodes], dim=1)
    num_nodes, num_edges = found.num_nodes_per_hop[: len(hops) + 1], found.num_edges_per_hop[: len(hops)]
    if csc:
        row, column = column, row
    return row, column, node, edge if return_edge_id else None, num_nodes, num_edges
