"""Sampling from one graph given as colptr (or rowptr) and row (or col), over graphkern's ops.

Random numbers come from torch's default CPU generator: torch.manual_seed repeats a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern import ops
from graphkern._kept import kept_with
from graphkern.compat._graph import fanouts, random_seed, width
from graphkern.compat.torch_sparse._check import check_value
from graphkern.compat.torch_sparse.utils import repeated
from graphkern.csr import CSR, check_range


def edges_of(ptr: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """All edges of nodes [n]: the position in nodes and the edge, node after node."""
    if nodes.dim() != 1:
        raise ValueError(f"nodes must be 1-D but is {list(nodes.shape)}")
    check_range(nodes, ptr.shape[0] - 1, "nodes")
    begin = ptr[nodes]
    count = ptr[nodes + 1] - begin
    total = int(count.sum())
    owner = repeated(count, total)
    offset = begin - (torch.cumsum(count, 0) - count)
    return owner, offset[owner] + torch.arange(total, device=nodes.device)


def positions(nodes: Tensor, wanted: Tensor, last: bool = False) -> tuple[Tensor, Tensor]:
    """For each of wanted: is it in nodes, and where (a repeated node at its first, or last, place)."""
    if nodes.numel() == 0:
        return torch.zeros_like(wanted, dtype=torch.bool), torch.zeros_like(wanted)
    ordered, place = torch.sort(nodes, stable=True)
    at = (torch.searchsorted(ordered, wanted, right=last) - int(last)).clamp(0, nodes.numel() - 1)
    return ordered[at] == wanted, place[at]


def edges_between(
    ptr: Tensor, index: Tensor, rows: Tensor, columns: Tensor, last: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The edges between nodes: position in columns, position in rows, edge; in the order of rows."""
    owner, edge = edges_of(ptr, rows)
    found, place = positions(columns, index[edge], last)
    return place[found], owner[found], edge[found]


def square_graph(rowptr: Tensor, col: Tensor) -> CSR:
    """The graph as N x N, validated, where N is that of the rows or more; kept with rowptr and col."""

    def build() -> CSR:
        num_rows = rowptr.shape[0] - 1
        size = max(num_rows, width(col))
        padding = rowptr.new_full((size - num_rows,), col.shape[0])
        return CSR(torch.cat([rowptr, padding]) if size > num_rows else rowptr.detach(), col.detach(), size)

    return kept_with((rowptr, col), "torch_sparse.square", build)


def neighbor_sample(
    colptr: Tensor, row: Tensor, input_node: Tensor, num_neighbors: list[int], replace: bool, directed: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sample neighbors hop by hop along incoming edges.

    Args:
        colptr: [N + 1], row: [E]: the sources of each node's edges.
        input_node: [B] to start from.
        num_neighbors: for each hop; -1 takes all.
        replace: draw with replacement.
        directed: give the edges sampled; else all edges between the nodes sampled.
    Returns: nodes (input_node first), and for each edge the local source, the local destination and its position.
    Raises: ValueError, TypeError: as graphkern.sample_neighbors.
    """
    adj = square_graph(colptr, row)
    if num_neighbors:
        sample = ops.sample_neighbors(adj, input_node, fanouts(num_neighbors), replace=replace, seed=random_seed())
        nodes = sample.nodes
        if directed:
            return nodes, sample.adj.indices, sample.adj.row_index(), sample.edge_id
    else:
        nodes = input_node
        check_range(nodes, adj.num_rows, "input_node")
        if directed:
            nothing = nodes.new_empty(0)
            return nodes, nothing, nothing, nothing
    return nodes, *induced(adj, nodes, last=False)


def induced(adj: CSR, nodes: Tensor, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The edges between nodes: local column, local row, edge. A repeated node counts as a row each time, as a column
    at its first, or last, place."""
    if torch.unique(nodes).numel() < nodes.numel():
        return edges_between(adj.indptr, adj.indices, nodes, nodes, last)
    within = ops.induced_subgraph(adj, nodes)
    return within.adj.indices, within.adj.row_index(), within.edge_id


def saint_subgraph(idx: Tensor, rowptr: Tensor, row: Tensor, col: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The edges between the nodes idx [n]: local row, local column, edge; in the order of idx."""
    column, local, edge = induced(square_graph(rowptr, col), idx, last=True)
    return local, column, edge


def sample_adj(
    rowptr: Tensor, col: Tensor, idx: Tensor, num_neighbors: int, replace: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sample neighbors of the nodes idx [n]; -1 takes all.

    Returns: rowptr [n + 1] and local columns, ascending in each row; nodes (idx first); edges.
    """
    sample = ops.sample_neighbors(
        square_graph(rowptr, col), idx, fanouts([num_neighbors]), replace=replace, seed=random_seed()
    )
    by_column = torch.sort(sample.adj.indices, stable=True)[1]
    order = by_column[torch.sort(sample.adj.row_index()[by_column], stable=True)[1]]
    return sample.adj.indptr[: idx.numel() + 1], sample.adj.indices[order], sample.nodes, sample.edge_id[order]


def random_walk(rowptr: Tensor, col: Tensor, start: Tensor, walk_length: int) -> Tensor:
    """[B, walk_length + 1] uniform walks; a node without edges stays where it is."""
    return ops.random_walk(square_graph(rowptr, col), start, walk_length, seed=random_seed())


def ego_k_hop_sample_adj(
    rowptr: Tensor, col: Tensor, idx: Tensor, depth: int, num_neighbors: int, replace: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """For each of idx [B] the graph between the nodes sampled around it, one after the other.

    Returns: rowptr, col of all of them together; nodes, in ascending order in each; edges; ptr [B + 1] where the nodes
    of each begin; the place of each of idx.
    """
    adj, idx = square_graph(rowptr, col), idx.reshape(-1)
    nodes, batch = idx, torch.arange(idx.numel(), device=idx.device)
    if depth > 0:
        sample = ops.sample_neighbors(
            adj, idx, fanouts([num_neighbors] * depth), replace=replace, disjoint=True, seed=random_seed()
        )
        assert sample.batch is not None
        nodes, batch = sample.nodes, sample.batch
    else:
        check_range(idx, adj.num_rows, "idx")
    size = max(adj.num_rows, 1)
    key = torch.sort(batch * size + nodes)[0]  # orders nodes by the sample that they belong to
    nodes, batch = key % size, torch.div(key, size, rounding_mode="floor")
    owner, edge = edges_of(adj.indptr, nodes)
    found, local = positions(key, batch[owner] * size + adj.indices[edge])
    count = torch.bincount(owner[found], minlength=nodes.numel())
    out_rowptr = torch.cat([count.new_zeros(1), torch.cumsum(count, 0)])
    ptr = torch.searchsorted(batch, torch.arange(idx.numel() + 1, device=idx.device))
    root = torch.searchsorted(key, torch.arange(idx.numel(), device=idx.device) * size + idx)
    return out_rowptr, local[found], nodes, edge[found], ptr, root


def relabel(col: Tensor, idx: Tensor) -> tuple[Tensor, Tensor]:
    """Renumber col [E] by its place in idx [n], what is not there from n on in order of first sight; and the nodes."""
    known, place = positions(idx, col, last=True)
    new, inverse = torch.unique(col[~known], return_inverse=True)
    first = torch.full_like(new, col.numel())
    first = first.scatter_reduce(0, inverse, torch.arange(inverse.numel(), device=col.device), "amin")
    order = torch.argsort(first)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel(), device=col.device)
    out = place.clone()
    out[~known] = idx.numel() + rank[inverse]
    return out, torch.cat([idx, new[order]])


def relabel_one_hop(
    rowptr: Tensor, col: Tensor, value: Tensor | None, idx: Tensor, bipartite: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """The rows idx [n] with their columns renumbered: rowptr, col, value, nodes (idx first). Not bipartite: with an
    empty row for each node more."""
    check_value(value, col)
    adj = square_graph(rowptr, col)
    owner, edge = edges_of(adj.indptr, idx)
    local, nodes = relabel(adj.indices[edge], idx)
    rows = idx.numel() if bipartite else nodes.numel()
    count = torch.bincount(owner, minlength=rows)
    out_rowptr = torch.cat([count.new_zeros(1), torch.cumsum(count, 0)])
    return out_rowptr, local, None if value is None else value[edge], nodes
