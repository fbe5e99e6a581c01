"""Reduction of values that share an index, in any order: torch_scatter's scatter."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import check_range
from graphkern.ops import _axis, _check
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.gather_index import GATHER_INDEX
from graphkern.ops.scatter_reduce import reference
from graphkern.ops.winners import PUT_WINNERS


def scatter_reduce(
    src: Tensor,
    index: Tensor,
    dim_size: int | None = None,
    reduce: str = "sum",
    dim: int = 0,
    out: Tensor | None = None,
) -> Tensor:
    """Reduce the entries of src along an axis that have the same index.

    out[n] = reduce over l with index[l] = n of src[l]; an n that no index names gives 0.

    Args:
        src: any shape with at least one axis, L entries along dim; float32, float64, float16 or bfloat16 (halves
            accumulate in float32).
        index: int32 or int64 in [0, dim_size), in any order. [L], or broadcastable to the shape of src; axes that it
            lacks at the end count as 1.
        dim_size: N, entries of the result along dim; None is max(index) + 1, which reads index.
        reduce: "sum", "mean" (divides by the number of entries), "max" or "min". NaN wins a max or min, the first of
            equal entries takes the gradient.
        dim: the axis, negative from the end.
        out: the shape of the result, dtype of src; written in place and returned, as torch_scatter does. sum: adds to
            it. mean: adds to it, then divides by the number of entries of src. max and min: its entries take part, and
            win against equal ones.
    Returns: shape of src with N along dim, dtype of src. The same bits for any number of threads.
    Raises: TypeError for an integer src, another dtype of index or out; ValueError for a wrong shape, device, dim or
        reduce, or (CPU, eager) an index out of range.
    Cost: reads src and index, writes the result (max and min: and an index for each entry). Other memory: the index
        once more, sorted, and 8 bytes an entry for that, where rows of 16 values or more share an entry of it;
        else at most half as many accumulators as src has values (max and min: with a position each). The gradient is
        a gather. Differentiable twice in src and out.
    Source: torch_scatter 2.1, scatter (github.com/rusty1s/pytorch_scatter).
    """
    _check.floating(src=src, **({} if out is None else {"out": out}))
    dim = _axis.axis(src, dim)
    _axis.is_index(index, "index", src)
    _check.reduce_name(reduce)
    places = flat_index(index, src, dim)
    size = result_size(index, dim_size, src, dim, out)
    args = (_axis.flatten(src, dim), places, size, reduce)
    needs_grad = _check.needs_gradient(src)

    def check() -> None:
        check_range(index, size, "index")

    if reduce in ("max", "min"):
        new, arg = _axis.guarded(SCATTER_EXTREMUM.known(needs_grad), args, check)
        new, arg = _axis.unflatten(new, src, dim), _axis.unflatten(arg, src, dim)
        if out is None:
            return new
        better = new > out if reduce == "max" else new < out
        wins = (arg >= 0) & (better | (new.isnan() & ~out.isnan()))
        return out.copy_(torch.where(wins, new, out))
    if out is None:
        return _axis.unflatten(_axis.guarded(SCATTER_REDUCE.known(needs_grad), args, check), src, dim)
    new = _axis.guarded(SCATTER_REDUCE.known(needs_grad), (*args[:3], "sum"), check)
    out.add_(_axis.unflatten(new, src, dim))
    if reduce == "mean":
        count = _axis.guarded(_count, (places, size, args[0]), check)
        out.div_(_axis.unflatten(count.expand(new.shape), src, dim))
    return out


def result_size(index: Tensor, dim_size: int | None, src: Tensor, dim: int, out: Tensor | None) -> int:
    """Entries of the result along dim: dim_size, that of out, or as many as index names."""
    if out is not None:
        size = out.shape[dim] if out.dim() == src.dim() else -1
        if out.shape != (*src.shape[:dim], size, *src.shape[dim + 1 :]) or dim_size not in (None, size):
            raise ValueError(f"out {list(out.shape)} does not fit src {list(src.shape)} along dim {dim} ({dim_size=})")
        return size
    if dim_size is None:
        largest: Any = index.max().item() if index.numel() else -1
        if torch.compiler.is_compiling():
            torch._check(largest >= 0)
            return largest + 1
        return max(largest, -1) + 1
    if dim_size < 0:
        raise ValueError(f"dim_size must not be negative but is {dim_size}")
    return dim_size


def flat_index(index: Tensor, src: Tensor, dim: int) -> Tensor:
    """[B or 1, L, K or 1]: axes along which the index repeats are not walked, given as such or by a stride of 0."""
    if index.dim() == 1 and index.shape[0] == src.shape[dim]:
        return index.view(1, -1, 1)
    places = dim if index.dim() == 1 else 0
    shape = [1] * places + list(index.shape)
    shape += [1] * (src.dim() - len(shape))
    if len(shape) != src.dim() or any(n != 1 and n != m for n, m in zip(shape, src.shape, strict=True)):
        raise ValueError(f"index {list(index.shape)} does not broadcast to src {list(src.shape)} along dim {dim}")
    for place, stride in enumerate(index.stride()):
        if stride == 0 and place + places != dim and index.shape[place] > 1:
            index = index.narrow(place, 0, 1)
            shape[place + places] = 1
    before = src.shape[:dim] if any(n != 1 for n in shape[:dim]) else shape[:dim]
    after = src.shape[dim + 1 :] if any(n != 1 for n in shape[dim + 1 :]) else shape[dim + 1 :]
    index = index.reshape(shape).expand(*before, src.shape[dim], *after)
    return index.reshape(math.prod(before), src.shape[dim], math.prod(after))


def _count(index: Tensor, size: int, like: Tensor) -> Tensor:
    """[B or 1, N, K or 1]: how often each place is named, at least 1."""
    ones = torch.ones(index.shape, dtype=accumulate_dtype(like.dtype), device=like.device)
    return SCATTER_REDUCE(ones, index, size, "sum").clamp(min=1)


def _fake(src: Tensor, index: Tensor, dim_size: int, reduce: str) -> Tensor:
    return src.new_empty(src.shape[0], dim_size, src.shape[2])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _src, index, ctx.size, ctx.reduce = inputs
    ctx.save_for_backward(index)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    (index,) = ctx.saved_tensors
    if ctx.reduce == "mean":
        grad = (grad / _count(index, ctx.size, grad)).to(grad.dtype)
    return GATHER_INDEX(grad, index), None, None, None


def _fake_extremum(src: Tensor, index: Tensor, dim_size: int, reduce: str) -> tuple[Tensor, Tensor]:
    shape = (src.shape[0], dim_size, src.shape[2])
    return src.new_empty(shape), index.new_empty(shape)


def _setup_extremum(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])
    ctx.length = inputs[0].shape[1]


def _backward_extremum(ctx: Any, grad: Tensor, _grad_arg: Tensor) -> tuple:
    return PUT_WINNERS(grad, *ctx.saved_tensors, ctx.length), None, None, None


_SCHEMA = "(Tensor src, Tensor index, SymInt dim_size, str reduce)"
SCATTER_REDUCE = Op(
    "scatter_reduce",
    f"{_SCHEMA} -> Tensor",
    reference=reference.scatter_reduce,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
)
SCATTER_EXTREMUM = Op(
    "scatter_extremum",
    f"{_SCHEMA} -> (Tensor, Tensor)",
    reference=reference.scatter_extremum,
    fake=_fake_extremum,
    backward=_backward_extremum,
    setup_context=_setup_extremum,
)
