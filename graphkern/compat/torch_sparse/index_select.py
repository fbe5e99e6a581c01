"""Rows, columns, components or entries by index."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse._check import axis_of
from graphkern.compat.torch_sparse.storage import SparseStorage, get_layout
from graphkern.compat.torch_sparse.tensor import SparseTensor
from graphkern.compat.torch_sparse.transpose import t
from graphkern.compat.torch_sparse.utils import repeated


def index_select(src: SparseTensor, dim: int, idx: Tensor) -> SparseTensor:
    """The rows (dim 0), columns (dim 1) or components at idx, in its order; an index may repeat.

    Raises: IndexError for an axis or an index out of range; ValueError, TypeError for an idx that is not [n] integers.
    Cost: dim 0 reads the rows selected; dim 1 sorts by column before and after.
    """
    dim = axis_of(dim, src.dim())
    _check(idx)
    if dim == 0:
        return _rows(src, idx)
    if dim == 1:
        return t(_rows(t(src), idx))
    value = src.storage.value()
    if value is None:
        raise ValueError(f"there is no axis {dim} without values")
    return src.set_value(value.index_select(dim - 1, idx), layout="coo")


def _check(idx: Tensor) -> None:
    if idx.dtype != torch.long and idx.dtype != torch.int32:
        raise TypeError(f"idx must be int32 or int64 but is {idx.dtype}")
    if idx.dim() != 1:
        raise ValueError(f"idx must be 1-D but is {idx.shape}")


def _rows(src: SparseTensor, idx: Tensor) -> SparseTensor:
    begin, col, value = src.csr()
    rowcount = src.storage.rowcount()[idx]
    rowptr = torch.cat([col.new_zeros(1), torch.cumsum(rowcount, 0)])
    num_edges = int(rowptr[-1])
    edge = (begin[:-1][idx] - rowptr[:-1])[repeated(rowcount, num_edges)] + torch.arange(num_edges, device=col.device)
    storage = SparseStorage(
        rowptr=rowptr,
        col=col[edge],
        value=None if value is None else value[edge],
        sparse_sizes=(idx.numel(), src.sparse_size(1)),
        rowcount=rowcount,
        is_sorted=True,
        trust_data=True,
    )
    return src.from_storage(storage)


def index_select_nnz(src: SparseTensor, idx: Tensor, layout: str | None = None) -> SparseTensor:
    """The entries at the positions idx of the order by row, or with layout "csc" by column; in order again."""
    _check(idx)
    if get_layout(layout) == "csc":
        idx = src.storage.csr2csc()[idx]
    row, col, value = src.coo()
    value = None if value is None else value[idx]
    return SparseTensor(row=row[idx], col=col[idx], value=value, sparse_sizes=src.sparse_sizes(), trust_data=True)


def permute(src: SparseTensor, perm: Tensor) -> SparseTensor:
    """Row and column i are row and column perm[i] of src, which is square."""
    if not src.is_quadratic():
        raise ValueError(f"a matrix of {src.sparse_sizes()} is not square")
    return index_select(index_select(src, 0, perm), 1, perm)
