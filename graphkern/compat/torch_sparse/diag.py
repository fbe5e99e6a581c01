"""Diagonals: without, with, of."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse.storage import SparseStorage
from graphkern.compat.torch_sparse.tensor import SparseTensor
from graphkern.compat.torch_sparse.utils import with_rows


def num_diagonal(num_rows: int, num_cols: int, k: int) -> int:
    """Places of the k-th diagonal, (i, i + k)."""
    return max(min(num_rows + min(k, 0), num_cols - max(k, 0)), 0)


def non_diag_mask(row: Tensor, col: Tensor, num_rows: int, num_cols: int, k: int = 0) -> Tensor:
    """[E + D]: which of the entries in order are the E given ones, once all D of the k-th diagonal stand among them."""
    size = num_diagonal(num_rows, num_cols, k)
    before = (row + min(k, 0) + (row + k < col).long()).clamp(0, size)  # entries of the diagonal
    place = torch.arange(row.numel(), device=row.device) + before
    mask = torch.zeros(row.numel() + size, dtype=torch.bool, device=row.device)
    mask[place[row + k != col]] = True
    return mask


def remove_diag(src: SparseTensor, k: int = 0) -> SparseTensor:
    """Without the entries of the k-th diagonal, (i, i + k)."""
    row, col, value = src.coo()
    keep = row + k != col
    rowcount, colcount = src.storage._rowcount, src.storage._colcount
    if rowcount is not None:
        rowcount = rowcount - torch.bincount(row[~keep], minlength=src.sparse_size(0))
    if colcount is not None:
        colcount = colcount - torch.bincount(col[~keep], minlength=src.sparse_size(1))
    storage = SparseStorage(
        row=row[keep],
        col=col[keep],
        value=None if value is None else value[keep],
        sparse_sizes=src.sparse_sizes(),
        rowcount=rowcount,
        colcount=colcount,
        is_sorted=True,
        trust_data=True,
    )
    return src.from_storage(storage)


def set_diag(src: SparseTensor, values: Tensor | None = None, k: int = 0) -> SparseTensor:
    """With every place of the k-th diagonal stored: values [D, *], or ones. Without values in src there are none."""
    src = remove_diag(src, k)
    row, col, value = src.coo()
    num_rows, num_cols = src.sparse_sizes()
    old = non_diag_mask(row, col, num_rows, num_cols, k)
    new = ~old
    size = num_diagonal(num_rows, num_cols, k)
    diag_row = torch.arange(size, device=row.device) - min(k, 0)
    merged_row = torch.empty_like(old, dtype=torch.long)
    merged_row[old], merged_row[new] = row, diag_row
    merged_col = torch.empty_like(merged_row)
    merged_col[old], merged_col[new] = col, diag_row + k
    if value is not None:
        merged = torch.ones(with_rows(value, old.numel()), dtype=value.dtype, device=value.device)
        merged[old] = value
        if values is not None:
            merged[new] = values.to(value.dtype)
        value = merged
    rowcount, colcount = src.storage._rowcount, src.storage._colcount
    if rowcount is not None:
        rowcount = rowcount + torch.bincount(diag_row, minlength=num_rows)
    if colcount is not None:
        colcount = colcount + torch.bincount(diag_row + k, minlength=num_cols)
    storage = SparseStorage(
        row=merged_row,
        col=merged_col,
        value=value,
        sparse_sizes=src.sparse_sizes(),
        rowcount=rowcount,
        colcount=colcount,
        is_sorted=True,
        trust_data=True,
    )
    return src.from_storage(storage)


def fill_diag(src: SparseTensor, fill_value: float, k: int = 0) -> SparseTensor:
    """set_diag with one number."""
    value = src.storage.value()
    if value is None:
        return set_diag(src, None, k)
    size = num_diagonal(src.sparse_size(0), src.sparse_size(1), k)
    fill = torch.full(with_rows(value, size), fill_value, dtype=value.dtype, device=value.device)
    return set_diag(src, fill, k)


def get_diag(src: SparseTensor) -> Tensor:
    """[min(M, N), *]: the main diagonal, 0 where no entry is stored, 1 for entries without values."""
    row, col, value = src.coo()
    if value is None:
        value = torch.ones(row.numel(), device=row.device)
    size = min(src.sparse_size(0), src.sparse_size(1))
    out = torch.zeros(with_rows(value, size), dtype=value.dtype, device=value.device)
    on_diag = row == col
    out[row[on_diag]] = value[on_diag]
    return out
