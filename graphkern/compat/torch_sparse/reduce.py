"""Sums, means and extrema over rows, columns or components."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse._check import axis_of
from graphkern.compat.torch_sparse.tensor import SparseTensor
from graphkern.compat.torch_sparse.utils import reduce_name, scatter, segment


def reduction(src: SparseTensor, dim: int | None = None, reduce: str = "sum") -> Tensor:
    """Reduce the entries: sum, add, mean, min or max of those that are stored; a row or column without any gives 0.

    dim: 0 reduces each column to [N, *], 1 each row to [M, *], a larger one a component; None all values to a scalar.
    Without values entries are ones, and a mean, min or max is 1.
    """
    reduce = reduce_name(reduce)
    value = src.storage.value()
    if dim is None:
        if value is None:
            one = src.nnz() if reduce == "sum" else 1
            return torch.tensor(one, dtype=src.dtype(), device=src.device())
        return _all(value, reduce)
    dim = axis_of(dim, src.dim())
    if value is None:
        if reduce != "sum":
            return torch.ones(src.sparse_size(1 - dim), dtype=src.dtype(), device=src.device())
        count = src.storage.colcount() if dim == 0 else src.storage.rowcount()
        return count.to(src.dtype())
    if dim == 0:
        return scatter(value, src.storage.col(), src.sparse_size(1), reduce)
    if dim == 1:
        return segment(value, src.storage.rowptr(), reduce)
    return _dense(value, dim - 1, reduce)


def _all(value: Tensor, reduce: str) -> Tensor:
    if reduce == "sum":
        return value.sum()
    if reduce == "mean":
        return value.mean()
    return value.min() if reduce == "min" else value.max()


def _dense(value: Tensor, dim: int, reduce: str) -> Tensor:
    if reduce == "sum":
        return value.sum(dim)
    if reduce == "mean":
        return value.mean(dim)
    return value.min(dim)[0] if reduce == "min" else value.max(dim)[0]


def sum(src: SparseTensor, dim: int | None = None) -> Tensor:
    return reduction(src, dim, "sum")


def mean(src: SparseTensor, dim: int | None = None) -> Tensor:
    return reduction(src, dim, "mean")


def min(src: SparseTensor, dim: int | None = None) -> Tensor:
    return reduction(src, dim, "min")


def max(src: SparseTensor, dim: int | None = None) -> Tensor:
    return reduction(src, dim, "max")
