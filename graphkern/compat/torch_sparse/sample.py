"""Neighbors, walks and subgraphs of a SparseTensor, drawn with torch's default generator."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse import _sampling
from graphkern.compat.torch_sparse._check import check_range
from graphkern.compat.torch_sparse.tensor import SparseTensor


def sample(src: SparseTensor, num_neighbors: int, subset: Tensor | None = None) -> Tensor:
    """[n, num_neighbors] columns drawn with replacement from each row, or from those of subset [n].

    A row without entries gives its own number.
    Raises: ValueError for a negative number or a row that is not there.
    """
    if num_neighbors < 0:
        raise ValueError(f"num_neighbors must not be negative but is {num_neighbors}")
    rowptr, col, _ = src.csr()
    row, begin, count = torch.arange(src.sparse_size(0), device=col.device), rowptr[:-1], src.storage.rowcount()
    if subset is not None:
        check_range(subset, "subset", src.sparse_size(0))
        row, begin, count = row[subset], begin[subset], count[subset]
    share = torch.rand(count.numel(), num_neighbors, dtype=torch.double, device=col.device)
    edge = begin.unsqueeze(1) + (share * count.unsqueeze(1)).long()
    col = torch.cat([col, col.new_zeros(1)])  # where the last rows without entries look
    return torch.where(count.unsqueeze(1) > 0, col[edge], row.unsqueeze(1))


def sample_adj(
    src: SparseTensor, subset: Tensor, num_neighbors: int, replace: bool = False
) -> tuple[SparseTensor, Tensor]:
    """The rows subset [n] with at most num_neighbors entries each (-1: all), columns renumbered: an n x m matrix, and
    the m nodes, subset first."""
    rowptr, col, value = src.csr()
    rowptr, col, nodes, edge = _sampling.sample_adj(rowptr, col, subset, num_neighbors, replace)
    value = None if value is None else value[edge]
    sizes = (subset.numel(), nodes.numel())
    out = SparseTensor(rowptr=rowptr, col=col, value=value, sparse_sizes=sizes, is_sorted=True, trust_data=True)
    return out, nodes


def random_walk(src: SparseTensor, start: Tensor, walk_length: int) -> Tensor:
    """[B, walk_length + 1]: uniform walks from row to column; a node without entries stays where it is."""
    rowptr, col, _ = src.csr()
    return _sampling.random_walk(rowptr, col, start, walk_length)


def saint_subgraph(src: SparseTensor, node_idx: Tensor) -> tuple[SparseTensor, Tensor]:
    """The n x n matrix between the nodes node_idx [n], and the positions of its entries in src."""
    rowptr, col, value = src.csr()
    row, col, edge = _sampling.saint_subgraph(node_idx, rowptr, src.storage.row(), col)
    value = None if value is None else value[edge]
    sizes = (node_idx.numel(), node_idx.numel())
    return SparseTensor(row=row, col=col, value=value, sparse_sizes=sizes, is_sorted=True, trust_data=True), edge
