"""Reductions of consecutive entries, and the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_scatter import _segments
from graphkern.compat.torch_scatter._operators import scriptable


@scriptable
def segment_sum_csr(src: Tensor, indptr: Tensor, out: Tensor | None = None) -> Tensor:
    """Sum. See `segment_csr`."""
    if not torch.jit.is_scripting():
        return _segments.reduce_segments(src, indptr, out, "sum")
    return torch.ops.torch_scatter.segment_sum_csr(src, indptr, out)


@scriptable
def segment_add_csr(src: Tensor, indptr: Tensor, out: Tensor | None = None) -> Tensor:
    """`segment_sum_csr` by its other name."""
    return segment_sum_csr(src, indptr, out)


@scriptable
def segment_mean_csr(src: Tensor, indptr: Tensor, out: Tensor | None = None) -> Tensor:
    """Mean; that of integers loses its fraction. See `segment_csr`."""
    if not torch.jit.is_scripting():
        return _segments.reduce_segments(src, indptr, out, "mean")
    return torch.ops.torch_scatter.segment_mean_csr(src, indptr, out)


@scriptable
def segment_min_csr(src: Tensor, indptr: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Minimum, and the position that gave it: int64, L for an empty segment. See `segment_csr`."""
    if not torch.jit.is_scripting():
        return _segments.extreme_segments(src, indptr, out, "min")
    return torch.ops.torch_scatter.segment_min_csr(src, indptr, out)


@scriptable
def segment_max_csr(src: Tensor, indptr: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Maximum, and the position that gave it: int64, L for an empty segment. See `segment_csr`."""
    if not torch.jit.is_scripting():
        return _segments.extreme_segments(src, indptr, out, "max")
    return torch.ops.torch_scatter.segment_max_csr(src, indptr, out)


@scriptable
def segment_csr(src: Tensor, indptr: Tensor, out: Tensor | None = None, reduce: str = "sum") -> Tensor:
    """Reduce consecutive entries of src along the axis that the last axis of indptr speaks of.

    out[..., s] = reduce over l from indptr[..., s] to indptr[..., s + 1] of src[..., l]; an empty segment gives 0.

    Args:
        src: L entries along axis indptr.dim() - 1; floating (halves accumulate in float32) or integer.
        indptr: [..., S + 1] int64 or int32, ascending within [0, L]; the axes before the last broadcast to src.
        out: shape and dtype of the result; overwritten and returned.
        reduce: "sum" or "add", "mean", "min", "max". The first of equal entries gives a min or max; NaN wins.
    Returns: shape of src with S in place of L.
    Raises: ValueError for another reduce, a wrong shape or an indptr that descends or leaves [0, L]; TypeError for a
        dtype that does not fit; NotImplementedError for bool.
    Cost: that of `graphkern.segment_reduce` for floating src; an indptr that differs between batches costs a copy of
        the result. Differentiable twice.
    Source: torch_scatter 2.1.2 (github.com/rusty1s/pytorch_scatter).

    Example: ``segment_csr(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 2, 2, 3]))`` is ``[3, 0, 4]``.
    """
    if reduce == "sum" or reduce == "add":
        return segment_sum_csr(src, indptr, out)
    if reduce == "mean":
        return segment_mean_csr(src, indptr, out)
    if reduce == "min":
        return segment_min_csr(src, indptr, out)[0]
    if reduce == "max":
        return segment_max_csr(src, indptr, out)[0]
    raise ValueError(f"reduce must be one of sum, add, mean, min, max but is {reduce}")


@scriptable
def gather_csr(src: Tensor, indptr: Tensor, out: Tensor | None = None) -> Tensor:
    """Repeat entry s of src indptr[..., s + 1] - indptr[..., s] times: the way back from `segment_csr`.

    Args:
        src: S entries along axis indptr.dim() - 1, floating or integer.
        indptr: [..., S + 1] int64 or int32, ascending from 0 on; the axes before the last broadcast to src.
        out: L >= indptr[..., S] entries along the axis, dtype of src; written where there is a segment, and returned.
    Returns: shape of src with L = the last value of indptr in place of S; positions outside of all segments are 0.
    Raises: as `segment_csr`.
    Cost: that of `graphkern.gather_csr`; an indptr that differs between batches costs a copy of src. Differentiable
        twice.
    """
    if not torch.jit.is_scripting():
        return _segments.gather_segments(src, indptr, out)
    return torch.ops.torch_scatter.gather_csr(src, indptr, out)
