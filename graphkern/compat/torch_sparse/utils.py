"""Sorting and reducing, written so that TorchScript compiles it too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import graphkern.ops  # noqa: F401  registers the operators below
from graphkern._kept import kept_with


def index_sort(inputs: Tensor, max_value: int | None = None) -> tuple[Tensor, Tensor]:
    """Stable sort of indices [E] in [0, max_value]: sorted values and the permutation."""
    if inputs.dim() != 1:
        raise ValueError(f"inputs must be 1-D but is {inputs.shape}")
    bins = -1 if max_value is None else max_value + 1
    if bins < 0 or bins > 8 * inputs.numel() + 1024:  # counting would take more memory than it saves time
        return torch.sort(inputs, stable=True)
    permutation = torch.ops.graphkern.counting_sort(inputs, bins)[1]
    return inputs[permutation], permutation


def is_scalar(other: Any) -> bool:
    return isinstance(other, (int, float))


def ind2ptr(ind: Tensor, size: int) -> Tensor:
    """[size + 1] where each value begins in the ascending indices ind [E]."""
    return torch.searchsorted(ind, torch.arange(size + 1, dtype=ind.dtype, device=ind.device))


def rowptr_of(row: Tensor, num_rows: int) -> Tensor:
    """ind2ptr, one tensor for all matrices with this row, so that what is kept with it serves them all."""
    if torch.jit.is_scripting():
        return ind2ptr(row, num_rows)
    else:  # noqa: RET505  TorchScript compiles one branch only
        return _kept_rowptr(row, num_rows)


def _kept_rowptr(row: Tensor, num_rows: int) -> Tensor:
    return kept_with((row,), ("torch_sparse.rowptr", num_rows), lambda: ind2ptr(row, num_rows))


def ptr2ind(ptr: Tensor, num_edges: int) -> Tensor:
    """[E] the segment of each entry; ptr [S + 1] runs from 0 to E and never decreases."""
    return repeated(ptr[1:] - ptr[:-1], num_edges)


def repeated(count: Tensor, total: int) -> Tensor:
    """[total] each place in count [S] as often as it says. Raises ValueError (compiled: RuntimeError) for a negative
    count, with which repeat_interleave would write out of bounds, or for another total."""
    if torch.compiler.is_compiling():
        torch._assert_async((count >= 0).all() & (count.sum() == total), "counts do not fit")
    elif bool((count < 0).any()) or int(count.sum()) != total:
        raise ValueError(f"counts must not be negative and must make {total}: are pointers in order?")
    places = torch.arange(count.numel(), dtype=count.dtype, device=count.device)
    return torch.repeat_interleave(places, count, output_size=total)


def ascending(row: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    """For each entry but the first [E - 1]: it comes after the one before, by row and then column; it is equal."""
    same_row = row[1:] == row[:-1]
    return (row[1:] > row[:-1]) | (same_row & (col[1:] > col[:-1])), same_row & (col[1:] == col[:-1])


def segment(value: Tensor, ptr: Tensor, reduce: str) -> Tensor:
    """Reduce consecutive rows of value [E, *] to [S, *]: torch_scatter's segment_csr along the first axis."""
    reduce = reduce_name(reduce)
    if value.is_floating_point():
        flat = value.unsqueeze(1).flatten(1).unsqueeze(0)  # [1, E, K]
        if reduce == "sum" or reduce == "mean":
            out = torch.ops.graphkern.segment_reduce(flat, ptr, reduce)
        else:
            out = torch.ops.graphkern.segment_extremum(flat, ptr, reduce)[0]
        return out.reshape(with_rows(value, ptr.numel() - 1))
    index = ptr2ind(ptr, value.size(0))
    return _integers(value, index, ptr[1:] - ptr[:-1], reduce, "trunc")


def scatter(value: Tensor, index: Tensor, size: int, reduce: str) -> Tensor:
    """Reduce the rows of value [E, *] that share an index [E] to [size, *]: torch_scatter's scatter along the first
    axis."""
    reduce = reduce_name(reduce)
    if value.is_floating_point():
        flat = value.unsqueeze(1).flatten(1).unsqueeze(0)  # [1, E, K]
        if reduce == "sum" or reduce == "mean":
            out = torch.ops.graphkern.scatter_reduce(flat, index.view(1, -1, 1), size, reduce)
        else:
            out = torch.ops.graphkern.scatter_extremum(flat, index.view(1, -1, 1), size, reduce)[0]
        return out.reshape(with_rows(value, size))
    return _integers(value, index, torch.bincount(index, minlength=size), reduce, "floor")


def spread(value: Tensor, ptr: Tensor, index: Tensor) -> Tensor:
    """value[index] for value [S, *] and the ascending index [E] that ptr [S + 1] stands for."""
    if not value.is_floating_point():
        return value[index]
    flat = value.unsqueeze(1).flatten(1).unsqueeze(0)  # [1, S, K]
    out = torch.ops.graphkern.gather_csr(flat, ptr, index.numel(), "sum")
    return out.reshape(with_rows(value, index.numel()))


def with_rows(value: Tensor, rows: int) -> list[int]:
    """The sizes of value, with so many rows."""
    sizes = list(value.size())
    sizes[0] = rows
    return sizes


def reduce_name(reduce: str) -> str:
    if reduce == "add":
        return "sum"
    if reduce != "sum" and reduce != "mean" and reduce != "min" and reduce != "max":
        raise ValueError(f"reduce must be sum, add, mean, min or max but is {reduce}")
    return reduce


def _integers(value: Tensor, index: Tensor, count: Tensor, reduce: str, rounding: str) -> Tensor:
    """Exact for integers. count: [S] entries of each index."""
    out = torch.zeros(with_rows(value, count.numel()), dtype=value.dtype, device=value.device)
    if reduce == "sum" or reduce == "mean":
        out = out.index_add(0, index, value)
        if reduce == "mean":
            divisor = count.clamp(min=1).view([-1] + [1] * (value.dim() - 1)).to(value.dtype)
            out = torch.div(out, divisor, rounding_mode=rounding)
        return out
    places = index.view([-1] + [1] * (value.dim() - 1)).expand_as(value)
    return out.scatter_reduce(0, places, value, "amin" if reduce == "min" else "amax", include_self=False)
