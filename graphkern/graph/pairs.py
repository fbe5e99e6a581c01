"""Sets of (row, column) pairs as CSR."""

import torch
from torch import Tensor

from graphkern.csr import CSR


def sorted_csr(row: Tensor, col: Tensor, num_rows: int, num_cols: int) -> CSR:
    """The set of pairs as num_rows x num_cols int64 CSR: no pair twice, columns ascending within a row.

    Args:
        row, col: int64 [E], any order, pairs may repeat.
    """
    key = torch.unique(row * num_cols + col) if num_cols else row.new_empty(0)
    width = max(num_cols, 1)
    indptr = torch.zeros(num_rows + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(key // width, minlength=num_rows), 0, out=indptr[1:])
    return CSR(indptr, key % width, num_cols)


def pair_keys(adj: CSR) -> Tensor:
    """row * num_cols + column of every edge, int64 [E]; ascending if adj's rows are sorted."""
    return adj.row_index() * adj.num_cols + adj.indices


def take_rows(adj: CSR, rows: Tensor) -> CSR:
    """The rows of adj that are named, in that order and as often, as len(rows) x num_cols.

    Args:
        rows: int64 [B], each in [0, adj.num_rows).
    """
    counts = adj.degree()[rows]
    indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    step = torch.arange(int(indptr[-1])) - torch.repeat_interleave(indptr[:-1], counts)
    return CSR(indptr, adj.indices[torch.repeat_interleave(adj.indptr[rows], counts) + step], adj.num_cols)


def to_dense(adj: CSR) -> Tensor:
    """[N, M] float32 of zeros and ones."""
    result = torch.zeros(adj.num_rows, adj.num_cols)
    result[adj.row_index(), adj.indices] = 1
    return result
