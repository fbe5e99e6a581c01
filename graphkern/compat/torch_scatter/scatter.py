"""Reductions by an index in any order."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_scatter import _scatter
from graphkern.compat.torch_scatter._operators import scriptable


@scriptable
def scatter_sum(
    src: Tensor, index: Tensor, dim: int = -1, out: Tensor | None = None, dim_size: int | None = None
) -> Tensor:
    """Sum, added to out where one is given. See `scatter`."""
    if not torch.jit.is_scripting():
        return _scatter.add(src, index, dim, out, dim_size, "sum")
    return torch.ops.torch_scatter.scatter_sum(src, index, dim, out, dim_size)


@scriptable
def scatter_add(
    src: Tensor, index: Tensor, dim: int = -1, out: Tensor | None = None, dim_size: int | None = None
) -> Tensor:
    """`scatter_sum` by its other name."""
    return scatter_sum(src, index, dim, out, dim_size)


@scriptable
def scatter_mul(
    src: Tensor, index: Tensor, dim: int = -1, out: Tensor | None = None, dim_size: int | None = None
) -> Tensor:
    """Product, 1 where no entry falls, times out where one is given. See `scatter`."""
    if not torch.jit.is_scripting():
        return _scatter.multiply(src, index, dim, out, dim_size)
    return torch.ops.torch_scatter.scatter_mul(src, index, dim, out, dim_size)


@scriptable
def scatter_mean(
    src: Tensor, index: Tensor, dim: int = -1, out: Tensor | None = None, dim_size: int | None = None
) -> Tensor:
    """Mean, rounded down for integers; a given out is added to the sum, then divided. See `scatter`."""
    if not torch.jit.is_scripting():
        return _scatter.add(src, index, dim, out, dim_size, "mean")
    return torch.ops.torch_scatter.scatter_mean(src, index, dim, out, dim_size)


@scriptable
def scatter_min(
    src: Tensor, index: Tensor, dim: int = -1, out: Tensor | None = None, dim_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Minimum, and the position along dim that gave it: int64, src.size(dim) where none did. See `scatter`."""
    if not torch.jit.is_scripting():
        result, arg = _scatter.extremum(src, index, dim, out, dim_size, "min")
        return result, _scatter.arguments(arg, src.shape[dim])
    return torch.ops.torch_scatter.scatter_min(src, index, dim, out, dim_size)


@scriptable
def scatter_max(
    src: Tensor, index: Tensor, dim: int = -1, out: Tensor | None = None, dim_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Maximum, and the position along dim that gave it: int64, src.size(dim) where none did. See `scatter`."""
    if not torch.jit.is_scripting():
        result, arg = _scatter.extremum(src, index, dim, out, dim_size, "max")
        return result, _scatter.arguments(arg, src.shape[dim])
    return torch.ops.torch_scatter.scatter_max(src, index, dim, out, dim_size)


@scriptable
def scatter(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    reduce: str = "sum",
) -> Tensor:
    """Reduce the entries of src along dim that have the same index.

    Args:
        src: at least one axis, L entries along dim; floating (halves accumulate in float32) or integer.
        index: int64 or int32, in any order: [L], or broadcastable to src from the first axis on.
        dim: the axis, negative from the end.
        out: shape and dtype of the result; takes part in the reduction, is written and returned.
        dim_size: N, entries of the result along dim, without out; None is max(index) + 1, which reads index.
        reduce: "sum" or "add", "mul", "mean", "min", "max".
    Returns: shape of src with N along dim. A place that no index names keeps out, or is 0 (mul: 1). The first of equal
        entries gives a min or max; entries that are not beyond the dtype's extreme finite value give none.
    Raises: ValueError for another reduce, a wrong shape or an index out of range; TypeError for a dtype that does not
        fit; NotImplementedError for bool and complex, of which there are only sums.
    Cost: that of `graphkern.scatter_reduce` for floating src; integers and mul are torch's own scatter functions.
    Differentiable twice in src and out.
    Source: torch_scatter 2.1.2 (github.com/rusty1s/pytorch_scatter).

    Example: ``scatter(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]))`` is ``[3, 0, 4]``.
    """
    if reduce == "sum" or reduce == "add":
        return scatter_sum(src, index, dim, out, dim_size)
    if reduce == "mul":
        return scatter_mul(src, index, dim, out, dim_size)
    if reduce == "mean":
        return scatter_mean(src, index, dim, out, dim_size)
    if reduce == "min":
        if not torch.jit.is_scripting():
            return _scatter.extremum(src, index, dim, out, dim_size, "min")[0]
        return scatter_min(src, index, dim, out, dim_size)[0]
    if reduce == "max":
        if not torch.jit.is_scripting():
            return _scatter.extremum(src, index, dim, out, dim_size, "max")[0]
        return scatter_max(src, index, dim, out, dim_size)[0]
    raise ValueError(f"reduce must be one of sum, add, mul, mean, min, max but is {reduce}")
