"""Matrices side by side, one below the other, or along the diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from graphkern.compat.torch_sparse.storage import SparseStorage
from graphkern.compat.torch_sparse.tensor import SparseTensor


def cat(tensors: Sequence[SparseTensor], dim: int | Sequence[int]) -> SparseTensor:
    """Concatenate along an axis, or with dim (0, 1) along the diagonal.

    Rows below each other take the largest number of columns, columns beside each other that of rows. What all of
    tensors have computed is carried over.
    Raises: ValueError without tensors, IndexError for another dim.
    """
    if not tensors:
        raise ValueError("tensors must not be empty")
    if not isinstance(dim, int):
        if sorted(dim) != [0, 1]:
            raise IndexError(f"dim must be an axis or (0, 1) but is {tuple(dim)}")
        return _cat(tensors, True, True)
    axes = tensors[0].dim()
    if not -axes <= dim < axes:
        raise IndexError(f"dim must be in [{-axes}, {axes}) but is {dim}")
    dim %= axes
    if dim < 2:
        return _cat(tensors, dim == 0, dim == 1)
    value = _joined([tensor.storage.value() for tensor in tensors], dim - 1)
    if value is None:
        raise ValueError(f"there is no axis {dim} without values")
    return tensors[0].set_value(value, layout="coo")


def _cat(tensors: Sequence[SparseTensor], below: bool, beside: bool) -> SparseTensor:
    storages = [tensor.storage for tensor in tensors]
    rows, cols = zip(*(storage.sparse_sizes() for storage in storages), strict=True)
    row_at, col_at = _offsets(rows, below), _offsets(cols, beside)
    edge_at = _offsets([storage.col().numel() for storage in storages], True)
    rowptr = _pointers([storage._rowptr for storage in storages], edge_at) if below else None
    row = [storage._row if below and rowptr is not None else storage.row() for storage in storages]
    colptr = _pointers([storage._colptr for storage in storages], edge_at) if beside else None
    both = below and beside
    out = SparseStorage(
        row=_joined(_shifted(row, row_at)),
        rowptr=rowptr,
        col=_joined(_shifted([storage.col() for storage in storages], col_at)),
        value=_joined([storage._value for storage in storages]),
        sparse_sizes=(sum(rows) if below else max(rows), sum(cols) if beside else max(cols)),
        rowcount=_joined([storage._rowcount for storage in storages]) if below else None,
        colptr=colptr,
        colcount=_joined([storage._colcount for storage in storages]) if beside else None,
        csr2csc=_joined(_shifted([storage._csr2csc for storage in storages], edge_at)) if both else None,
        csc2csr=_joined(_shifted([storage._csc2csr for storage in storages], edge_at)) if both else None,
        is_sorted=below,
        trust_data=True,
    )
    return SparseTensor.from_storage(out)


def _offsets(sizes: Sequence[int], add: bool) -> list[int]:
    return [0, *accumulate(sizes[:-1])] if add else [0] * len(sizes)


def _shifted(tensors: Sequence[Tensor | None], by: Sequence[int]) -> list[Tensor | None]:
    return [None if tensor is None else tensor + offset for tensor, offset in zip(tensors, by, strict=True)]


def _joined(tensors: Sequence[Tensor | None], dim: int = 0) -> Tensor | None:
    """None where one of them is."""
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(present, dim) if len(present) == len(tensors) else None


def _pointers(tensors: Sequence[Tensor | None], edge_at: Sequence[int]) -> Tensor | None:
    shifted = _shifted(tensors, edge_at)
    return _joined([tensor if place == 0 or tensor is None else tensor[1:] for place, tensor in enumerate(shifted)])
