"""Reductions by an index that ascends, and the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_scatter import _scatter
from graphkern.compat.torch_scatter._operators import scriptable
from graphkern.ops.gather_csr import gather_csr


@scriptable
def segment_sum_coo(src: Tensor, index: Tensor, out: Tensor | None = None, dim_size: int | None = None) -> Tensor:
    """Sum, added to out where one is given. See `segment_coo`."""
    if not torch.jit.is_scripting():
        return _reduce(src, index, out, dim_size, "sum")
    return torch.ops.torch_scatter.segment_sum_coo(src, index, out, dim_size)


@scriptable
def segment_add_coo(src: Tensor, index: Tensor, out: Tensor | None = None, dim_size: int | None = None) -> Tensor:
    """`segment_sum_coo` by its other name."""
    return segment_sum_coo(src, index, out, dim_size)


@scriptable
def segment_mean_coo(src: Tensor, index: Tensor, out: Tensor | None = None, dim_size: int | None = None) -> Tensor:
    """Mean; that of integers loses its fraction. A given out is added to the sum, then divided. See `segment_coo`."""
    if not torch.jit.is_scripting():
        return _reduce(src, index, out, dim_size, "mean")
    return torch.ops.torch_scatter.segment_mean_coo(src, index, out, dim_size)


@scriptable
def segment_min_coo(
    src: Tensor, index: Tensor, out: Tensor | None = None, dim_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Minimum, and the position that gave it: int64, L where none did. See `segment_coo`."""
    if not torch.jit.is_scripting():
        return _extremum(src, index, out, dim_size, "min")
    return torch.ops.torch_scatter.segment_min_coo(src, index, out, dim_size)


@scriptable
def segment_max_coo(
    src: Tensor, index: Tensor, out: Tensor | None = None, dim_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Maximum, and the position that gave it: int64, L where none did. See `segment_coo`."""
    if not torch.jit.is_scripting():
        return _extremum(src, index, out, dim_size, "max")
    return torch.ops.torch_scatter.segment_max_coo(src, index, out, dim_size)


@scriptable
def segment_coo(
    src: Tensor, index: Tensor, out: Tensor | None = None, dim_size: int | None = None, reduce: str = "sum"
) -> Tensor:
    """Reduce the entries of src that have the same index, along the axis that the last axis of index speaks of.

    Args:
        src: L entries along axis index.dim() - 1; floating (halves accumulate in float32) or integer.
        index: [..., L] int64 or int32, ascending; the axes before the last broadcast to src. In another order the
            result is that of `scatter`.
        out: shape and dtype of the result; takes part in the reduction, is written and returned.
        dim_size: N, entries of the result along the axis, without out; None is the largest index + 1.
        reduce: "sum" or "add", "mean", "min", "max".
    Returns: shape of src with N in place of L. A place that no index names keeps out, or is 0; min and max
        are as in `scatter`.
    Raises: ValueError for another reduce, a wrong shape or an index out of range; TypeError for a dtype that does not
        fit; NotImplementedError for bool.
    Cost: that of `graphkern.segment_reduce` for floating src without out and an index that is the same for every batch,
        whose indptr is kept with it; else that of `scatter`. Differentiable twice.
    Source: torch_scatter 2.1.2 (github.com/rusty1s/pytorch_scatter).

    Example: ``segment_coo(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]))`` is ``[3, 0, 4]``.
    """
    if reduce == "sum" or reduce == "add":
        return segment_sum_coo(src, index, out, dim_size)
    if reduce == "mean":
        return segment_mean_coo(src, index, out, dim_size)
    if reduce == "min":
        return segment_min_coo(src, index, out, dim_size)[0]
    if reduce == "max":
        return segment_max_coo(src, index, out, dim_size)[0]
    raise ValueError(f"reduce must be one of sum, add, mean, min, max but is {reduce}")


@scriptable
def gather_coo(src: Tensor, index: Tensor, out: Tensor | None = None) -> Tensor:
    """Entries of src at index, along the axis that the last axis of index speaks of: the way back from `segment_coo`.

    Args:
        src: N entries along axis index.dim() - 1, floating or integer; without values the result is 0.
        index: [..., L] int64 or int32 in [0, N), ascending; the axes before the last are those of src.
        out: shape and dtype of the result; overwritten and returned.
    Returns: shape of src with L in place of N.
    Raises: as `segment_coo`, and ValueError (CPU, eager) for an index that does not ascend.
    Cost: reads src and index, writes the result. Differentiable twice; the gradient is `segment_coo`.
    """
    if not torch.jit.is_scripting():
        return _gather(src, index, out)
    return torch.ops.torch_scatter.gather_coo(src, index, out)


def _axis_of(src: Tensor, index: Tensor) -> int:
    if not 1 <= index.dim() <= src.dim():
        raise ValueError(f"index must have 1 to {src.dim()} axes (those of src) but has {index.dim()}")
    return index.dim() - 1


def _reduce(src: Tensor, index: Tensor, out: Tensor | None, dim_size: int | None, reduce: str) -> Tensor:
    _scatter.numeric(src, f"segment_{reduce}_coo")
    return _scatter.add_sorted(src, index, _axis_of(src, index), out, dim_size, reduce)


def _extremum(
    src: Tensor, index: Tensor, out: Tensor | None, dim_size: int | None, reduce: str
) -> tuple[Tensor, Tensor]:
    dim = _axis_of(src, index)
    result, arg = _scatter.extremum(src, index, dim, out, dim_size, reduce, ordered=True)
    return result, _scatter.arguments(arg, src.shape[dim])


def _gather(src: Tensor, index: Tensor, out: Tensor | None) -> Tensor:
    _scatter.numeric(src, "gather_coo")
    dim = _axis_of(src, index)
    if index.shape[:-1] != src.shape[:dim]:
        raise ValueError(f"index {list(index.shape)} does not fit src {list(src.shape)}")
    shape = (*index.shape, *src.shape[dim + 1 :])
    if out is not None:
        _scatter.fits(out, src, shape)
    if src.numel() == 0:
        return _scatter.nothing(src, shape) if out is None else out
    if not torch.compiler.is_compiling() and index.device.type == "cpu" and not _scatter.is_sorted(index):
        raise ValueError("index must ascend")
    pointer = _scatter.sorted_indptr(index, src.shape[dim]) if src.is_floating_point() else None
    if pointer is not None:
        result = gather_csr(src, pointer, dim, index.shape[-1])
    else:
        result = _scatter.take(src, index, dim, shape)
    return result if out is None else out.copy_(result)
