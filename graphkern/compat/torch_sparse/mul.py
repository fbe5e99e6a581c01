"""Elementwise products."""

from __future__ import annotations

from typing import Union

import torch
from torch import Tensor

from graphkern.compat.torch_sparse._broadcast import at_entries
from graphkern.compat.torch_sparse.storage import SparseStorage
from graphkern.compat.torch_sparse.tensor import SparseTensor
from graphkern.compat.torch_sparse.utils import ascending


def mul(src: SparseTensor, other: Union[Tensor, SparseTensor]) -> SparseTensor:  # noqa: UP007
    """src * other: with a dense other [M, 1, *] or [1, N, *], or entry by entry with a sparse one.

    Raises ValueError where two sparse ones are not coalesced or lack values.
    """
    if isinstance(other, Tensor):
        value, at_entry = src.storage.value(), at_entries(src, other)
        value = at_entry if value is None else at_entry.to(value.dtype) * value
        return src.set_value(value, layout="coo")
    if not isinstance(other, SparseTensor):
        raise TypeError("other must be a Tensor or a SparseTensor")
    if not src.is_coalesced() or not other.is_coalesced():
        raise ValueError("both matrices must be coalesced")
    row, col, value = src.coo()
    other_row, other_col, other_value = other.coo()
    if value is None or other_value is None:
        raise ValueError("both matrices must have values")
    both = SparseStorage(
        row=torch.cat([row, other_row]),
        col=torch.cat([col, other_col]),
        value=torch.cat([value, other_value]),
        sparse_sizes=(max(src.size(0), other.size(0)), max(src.size(1), other.size(1))),
        trust_data=True,
    )
    row, col, value = both.row(), both.col(), both.value()
    assert value is not None
    second = ascending(row, col)[1].nonzero().view(-1) + 1
    return SparseTensor(
        row=row[second],
        col=col[second],
        value=value[second - 1] * value[second],
        sparse_sizes=both.sparse_sizes(),
        is_sorted=True,
        trust_data=True,
    )


def mul_(src: SparseTensor, other: Tensor) -> SparseTensor:
    """Multiply the values of src by a dense row or column in place."""
    value, at_entry = src.storage.value(), at_entries(src, other)
    value = at_entry if value is None else value.mul_(at_entry.to(value.dtype))
    return src.set_value_(value, layout="coo")


def mul_nnz(src: SparseTensor, other: Tensor, layout: str | None = None) -> SparseTensor:
    """Multiply the values by other [E, *], entry by entry."""
    value = src.storage.value()
    value = other if value is None else value * other.to(value.dtype)
    return src.set_value(value, layout=layout)


def mul_nnz_(src: SparseTensor, other: Tensor, layout: str | None = None) -> SparseTensor:
    value = src.storage.value()
    value = other if value is None else value.mul_(other.to(value.dtype))
    return src.set_value_(value, layout=layout)
