"""Reduction of consecutive entries: torch_scatter's segment_csr."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import OPS, Op
from graphkern.ops import _axis, _check
from graphkern.ops.segment_reduce import reference
from graphkern.ops.winners import PUT_WINNERS


def segment_reduce(src: Tensor, indptr: Tensor, reduce: str = "sum", dim: int = 0) -> Tensor:
    """Reduce consecutive entries of src along an axis.

    out[s] = reduce over l from indptr[s] to indptr[s + 1] of src[l]; an empty segment gives 0.

    Args:
        src: any shape with at least one axis, L entries along dim; float32, float64, float16 or bfloat16 (halves
            accumulate in float32).
        indptr: [S + 1] int32 or int64, never decreases, in [0, L]. Entries before indptr[0] and from indptr[S] on
            belong to no segment.
        reduce: "sum", "mean" (divides by the number of entries), "max" or "min". NaN wins a max or min, the first of
            equal entries takes the gradient.
        dim: the axis, negative from the end.
    Returns: shape of src with S along dim, dtype of src. The same bits for any number of threads.
    Raises: TypeError for an integer src or another dtype of indptr; ValueError for a wrong shape, device, dim or
        reduce, or (CPU, eager) an indptr that decreases or leaves [0, L].
    Cost: reads src and indptr, writes the result (max and min: and an index for each entry). Differentiable twice.
    Source: torch_scatter 2.1, segment_csr (github.com/rusty1s/pytorch_scatter).
    """
    _check.floating(src=src)
    dim = _axis.axis(src, dim)
    _axis.is_indptr(indptr, src)
    _check.reduce_name(reduce)
    args = (_axis.flatten(src, dim), indptr, reduce)
    needs_grad = _check.needs_gradient(src)

    def check() -> None:
        _axis.indptr_values(indptr, src.shape[dim])

    if reduce in ("max", "min"):
        out, _arg = _axis.guarded(SEGMENT_EXTREMUM.known(needs_grad), args, check)
    else:
        out = _axis.guarded(SEGMENT_REDUCE.known(needs_grad), args, check)
    return _axis.unflatten(out, src, dim)


def _fake(src: Tensor, indptr: Tensor, reduce: str) -> Tensor:
    return src.new_empty(src.shape[0], indptr.shape[0] - 1, src.shape[2])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    src, indptr, ctx.reduce = inputs
    ctx.length = src.shape[1]
    ctx.save_for_backward(indptr)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    return OPS["gather_csr"](grad, *ctx.saved_tensors, ctx.length, ctx.reduce), None, None


def _fake_extremum(src: Tensor, indptr: Tensor, reduce: str) -> tuple[Tensor, Tensor]:
    shape = (src.shape[0], indptr.shape[0] - 1, src.shape[2])
    return src.new_empty(shape), indptr.new_empty(shape)


def _setup_extremum(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])
    ctx.length = inputs[0].shape[1]


def _backward_extremum(ctx: Any, grad: Tensor, _grad_arg: Tensor) -> tuple:
    return PUT_WINNERS(grad, *ctx.saved_tensors, ctx.length), None, None


SEGMENT_REDUCE = Op(
    "segment_reduce",
    "(Tensor src, Tensor indptr, str reduce) -> Tensor",
    reference=reference.segment_reduce,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
)
SEGMENT_EXTREMUM = Op(
    "segment_extremum",
    "(Tensor src, Tensor indptr, str reduce) -> (Tensor, Tensor)",
    reference=reference.segment_extremum,
    fake=_fake_extremum,
    backward=_backward_extremum,
    setup_context=_setup_extremum,
)
