"""Elementwise sums."""

from __future__ import annotations

from typing import Union

import torch
from torch import Tensor

from graphkern.compat.torch_sparse._broadcast import at_entries
from graphkern.compat.torch_sparse.tensor import SparseTensor


def add(src: SparseTensor, other: Union[Tensor, SparseTensor]) -> SparseTensor:  # noqa: UP007
    """src + other. A dense other [M, 1, *] or [1, N, *] is added to the stored entries only; two sparse ones are
    united, and what has one place is added up."""
    if isinstance(other, Tensor):
        value, at_entry = src.storage.value(), at_entries(src, other)
        value = at_entry + 1 if value is None else at_entry.to(value.dtype) + value
        return src.set_value(value, layout="coo")
    if not isinstance(other, SparseTensor):
        raise TypeError("other must be a Tensor or a SparseTensor")
    row, col, value = src.coo()
    other_row, other_col, other_value = other.coo()
    united: Tensor | None = None
    if value is not None and other_value is not None:
        united = torch.cat([value, other_value])
    out = SparseTensor(
        row=torch.cat([row, other_row]),
        col=torch.cat([col, other_col]),
        value=united,
        sparse_sizes=(max(src.size(0), other.size(0)), max(src.size(1), other.size(1))),
        trust_data=True,
    )
    return out.coalesce("sum")


def add_(src: SparseTensor, other: Tensor) -> SparseTensor:
    """Add a dense row or column to the values of src in place."""
    value, at_entry = src.storage.value(), at_entries(src, other)
    value = at_entry + 1 if value is None else value.add_(at_entry.to(value.dtype))
    return src.set_value_(value, layout="coo")


def add_nnz(src: SparseTensor, other: Tensor, layout: str | None = None) -> SparseTensor:
    """Add other [E, *] to the values, entry by entry."""
    value = src.storage.value()
    value = other + 1 if value is None else value + other.to(value.dtype)
    return src.set_value(value, layout=layout)


def add_nnz_(src: SparseTensor, other: Tensor, layout: str | None = None) -> SparseTensor:
    value = src.storage.value()
    value = other + 1 if value is None else value.add_(other.to(value.dtype))
    return src.set_value_(value, layout=layout)
