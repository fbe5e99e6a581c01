"""Consecutive rows, columns or components."""

from __future__ import annotations

from torch import Tensor

from graphkern.compat.torch_sparse._check import axis_of
from graphkern.compat.torch_sparse.storage import SparseStorage
from graphkern.compat.torch_sparse.tensor import SparseTensor


def narrow(src: SparseTensor, dim: int, start: int, length: int) -> SparseTensor:
    """The part [start, start + length) along an axis; the entries of a row range are views."""
    dim = axis_of(dim, src.dim())
    if start < 0:
        start = src.size(dim) + start
    if start < 0 or length < 0 or start + length > src.size(dim):
        raise IndexError(f"[{start}, {start + length}) does not lie in an axis of size {src.size(dim)}")
    if dim == 0:
        return _rows(src, start, length)
    if dim == 1:
        return _columns(src, start, length)
    value = src.storage.value()
    if value is None:
        raise ValueError(f"there is no axis {dim} without values")
    return src.set_value(value.narrow(dim - 1, start, length), layout="coo")


def select(src: SparseTensor, dim: int, idx: int) -> SparseTensor:
    """The part at idx along an axis, which stays, with size 1."""
    return narrow(src, dim, idx, 1)


def _rows(src: SparseTensor, start: int, length: int) -> SparseTensor:
    rowptr, col, value = src.csr()
    rowptr = rowptr.narrow(0, start, length + 1)
    first, last = int(rowptr[0]), int(rowptr[-1])
    row = src.storage._row
    storage = SparseStorage(
        row=None if row is None else row[first:last] - start,
        rowptr=rowptr - first,
        col=col[first:last],
        value=None if value is None else value[first:last],
        sparse_sizes=(length, src.sparse_size(1)),
        rowcount=_part(src.storage._rowcount, start, length),
        is_sorted=True,
        trust_data=True,
    )
    return src.from_storage(storage)


def _columns(src: SparseTensor, start: int, length: int) -> SparseTensor:
    row, col, value = src.coo()
    inside = (col >= start) & (col < start + length)
    colptr = _part(src.storage._colptr, start, length + 1)
    storage = SparseStorage(
        row=row[inside],
        col=col[inside] - start,
        value=None if value is None else value[inside],
        sparse_sizes=(src.sparse_size(0), length),
        colptr=None if colptr is None else colptr - colptr[0],
        colcount=_part(src.storage._colcount, start, length),
        is_sorted=True,
        trust_data=True,
    )
    return src.from_storage(storage)


def _part(tensor: Tensor | None, start: int, length: int) -> Tensor | None:
    return None if tensor is None else tensor.narrow(0, start, length)


def _moved(tensor: Tensor | None, start: int, length: int, by: int) -> Tensor | None:
    return None if tensor is None else tensor.narrow(0, start, length) - by


def __narrow_diag__(src: SparseTensor, start: tuple[int, int], length: tuple[int, int]) -> SparseTensor:  # noqa: N807
    """A block of a matrix that has entries in its diagonal blocks only, as cat(..., (0, 1)) makes them."""
    storage = src.storage
    rowptr, col, value = src.csr()
    rowptr = rowptr.narrow(0, start[0], length[0] + 1)
    first = int(rowptr[0])
    count = int(rowptr[-1]) - first
    out = SparseStorage(
        row=_moved(storage._row, first, count, start[0]),
        rowptr=rowptr - first,
        col=col.narrow(0, first, count) - start[1],
        value=_part(value, first, count),
        sparse_sizes=length,
        rowcount=_part(storage._rowcount, start[0], length[0]),
        colptr=_moved(storage._colptr, start[1], length[1] + 1, first),
        colcount=_part(storage._colcount, start[1], length[1]),
        csr2csc=_moved(storage._csr2csc, first, count, first),
        csc2csr=_moved(storage._csc2csr, first, count, first),
        is_sorted=True,
    )
    return src.from_storage(out)
