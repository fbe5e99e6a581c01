"""pyg_lib.sampler: multi-hop neighbor sampling, induced subgraphs and random walks over (rowptr, col).

A graph's values are checked when its tensors are first given. Random numbers come from torch's default CPU generator,
so that ``torch.manual_seed`` makes results repeat, whatever the number of threads.
"""

from __future__ import annotations

from torch import Tensor

from graphkern import ops
from graphkern.compat._graph import graph_of, random_seed
from graphkern.compat.pyg_lib import _hetero, _homogeneous

NodeType = str
EdgeType = tuple[str, str, str]


def neighbor_sample(
    rowptr: Tensor,
    col: Tensor,
    seed: Tensor,
    num_neighbors: list[int],
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
    """Sample neighbors hop by hop: ``row, col, node, edge, *counts = neighbor_sample(rowptr, col, seed, [10, 5])``.

    Args:
        rowptr: [N + 1] int32 or int64. col: [E] likewise, each in [0, N).
        seed: [B] nodes to start from. A repeated one keeps a row of its own.
        num_neighbors: neighbors to draw a node at each hop; a negative number takes all.
        node_time, edge_time: [N] or [E] int64: only neighbors of a time up to that of their seed are drawn. Wants
            disjoint. Need not be sorted.
        seed_time: [B] int64; by default the node_time of the seeds.
        edge_weight: [E] float32 or float64, not negative: edges are drawn in proportion. Edges of weight 0 only where
            a node has no more edges than it is to get.
        csc: the graph is (colptr, row): results come with row and col exchanged.
        replace: draw with replacement. directed: False returns all edges between the nodes found.
        disjoint: a subgraph for each seed.
        temporal_strategy: "uniform", or "last": the latest ones.
        return_edge_id: False returns None for edge.
    Returns: row and col [e], positions in node; node [n], the seeds first, then in order of first sight, or where
        disjoint [n, 2], (position of the seed, node); edge [e], positions in col; nodes found at each hop, the seeds
        first; edges drawn at each hop.
    Raises: TypeError for a dtype; ValueError for shapes, values out of range and options that exclude each other;
        NotImplementedError for undirected disjoint subgraphs.
    Cost: see graphkern.sample_neighbors; no pass over the graph after the first call.
    """
    return _homogeneous.sample(
        rowptr, col, seed, num_neighbors, node_time, edge_time, seed_time, edge_weight, csc, replace, directed,
        disjoint, temporal_strategy, return_edge_id,
    )  # fmt: skip


def hetero_neighbor_sample(
    rowptr_dict: dict[EdgeType, Tensor],
    col_dict: dict[EdgeType, Tensor],
    seed_dict: dict[NodeType, Tensor],
    num_neighbors_dict: dict[EdgeType, list[int]],
    node_time_dict: dict[NodeType, Tensor] | None = None,
    edge_time_dict: dict[EdgeType, Tensor] | None = None,
    seed_time_dict: dict[NodeType, Tensor] | None = None,
    edge_weight_dict: dict[EdgeType, Tensor] | None = None,
    csc: bool = False,
    replace: bool = False,
    directed: bool = True,
    disjoint: bool = False,
    temporal_strategy: str = "uniform",
    return_edge_id: bool = True,
) -> tuple[
    dict[EdgeType, Tensor],
    dict[EdgeType, Tensor],
    dict[NodeType, Tensor],
    dict[EdgeType, Tensor] | None,
    dict[NodeType, list[int]],
    dict[EdgeType, list[int]],
]:
    """neighbor_sample over several relations between nodes of several types.

    Args:
        rowptr_dict, col_dict, num_neighbors_dict: by (source type, relation, destination type). rowptr has the source
            nodes, with csc the destination nodes. Where lists of num_neighbors differ in length, the shorter draw
            nothing at further hops.
        seed_dict, seed_time_dict: by node type.
        node_time_dict, edge_time_dict, edge_weight_dict: by node or edge type. Relations that they leave out are
            sampled uniformly.
        The rest: as for neighbor_sample.
    Returns: what neighbor_sample returns, by edge type or node type, for all of them. Disjoint subgraphs are numbered
        through the types of seed_dict in its order.
    Raises: as neighbor_sample; NotImplementedError for directed=False.
    """
    name = {key: "__".join(key) for key in rowptr_dict}
    of_name = {value: key for key, value in name.items()}
    node_types = list(dict.fromkeys(kind for key in rowptr_dict for kind in (key[0], key[2])))

    def named(given):
        return None if given is None else {name.get(key, "__".join(key)): value for key, value in given.items()}

    def keyed(found):
        return None if found is None else {of_name[key]: value for key, value in found.items()}

    row, column, node, edge, num_nodes, num_edges = _hetero.sample(
        node_types, list(rowptr_dict), named(rowptr_dict), named(col_dict), seed_dict, named(num_neighbors_dict),
        node_time_dict, named(edge_time_dict), seed_time_dict, named(edge_weight_dict), csc, replace, directed,
        disjoint, temporal_strategy, return_edge_id,
    )  # fmt: skip
    return keyed(row), keyed(column), node, keyed(edge), num_nodes, keyed(num_edges)


def subgraph(
    rowptr: Tensor, col: Tensor, nodes: Tensor, return_edge_id: bool = True
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The edges between some nodes, which are renumbered: ``rowptr, col, edge = subgraph(rowptr, col, nodes)``.

    Args:
        rowptr: [N + 1] int32 or int64. col: [E] likewise. nodes: [n], none twice.
    Returns: rowptr [n + 1], col [e] positions in nodes, and edge [e] positions in the col given, or None.
    Raises: TypeError for a dtype; ValueError for nodes out of range or given twice.
    """
    found = ops.induced_subgraph(graph_of(rowptr, col), nodes)
    return found.adj.indptr, found.adj.indices, found.edge_id if return_edge_id else None


def random_walk(rowptr: Tensor, col: Tensor, seed: Tensor, walk_length: int, p: float = 1.0, q: float = 1.0) -> Tensor:
    """Walk from each seed, uniformly or as node2vec does: ``random_walk(rowptr, col, seed, walk_length=20, q=0.5)``.

    Args:
        rowptr: [N + 1] int32 or int64. col: [E] likewise. seed: [B].
        p: the larger, the less walks return. q: the larger, the closer they stay. Both positive.
    Returns: [B, walk_length + 1] nodes, the seeds first. A node without edges stays where it is.
    Raises: TypeError for a dtype; ValueError for a seed out of range, p or q that are not positive.
    Cost: see graphkern.random_walk.
    """
    return ops.random_walk(graph_of(rowptr, col), seed, walk_length, p, q, seed=random_seed())


__all__ = ["hetero_neighbor_sample", "neighbor_sample", "random_walk", "subgraph"]
