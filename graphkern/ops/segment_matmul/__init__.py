"""Consecutive rows times the matrix of their segment: the typed linear layer of R-GCN."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import Op
from graphkern.ops import _axis, _check
from graphkern.ops.segment_matmul import reference


def segment_matmul(x: Tensor, indptr: Tensor, weight: Tensor) -> Tensor:
    """Multiply each segment of consecutive rows with its own matrix.

    out[l] = x[l] @ weight[s] for l from indptr[s] to indptr[s + 1]

    Args:
        x: [L, F_in]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        indptr: [S + 1] int32 or int64, never decreases, from 0 to L.
        weight: [S, F_in, F_out], same dtype as x.
    Returns: [L, F_out], dtype of x. The same bits for any number of threads.
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape or device, or (CPU, eager) an indptr
        that decreases or does not run from 0 to L.
    Cost: 2 L F_in F_out operations, and twice as many backward. Memory: blocks of a fixed size; backward, F_in F_out
        values for each 4096 rows of the segments that have more. Differentiable twice in x and weight.
    Source: Schlichtkrull et al. 2018, eq. 2 (arXiv:1703.06103); pyg_lib.ops.segment_matmul.
    """
    _check.floating(x=x, weight=weight)
    if x.dim() != 2:
        raise ValueError(f"x must be [L, F_in] but is {list(x.shape)}")
    if weight.dim() != 3 or weight.shape[1] != x.shape[1]:
        raise ValueError(f"weight must be [S, {x.shape[1]}, F_out] but is {list(weight.shape)}")
    _axis.is_indptr(indptr, x, weight.shape[0])

    def check() -> None:
        _axis.indptr_values(indptr, x.shape[0], whole=True)

    return _axis.guarded(SEGMENT_MATMUL, (x, indptr, weight.contiguous()), check)


def _fake(x: Tensor, indptr: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[2])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    x, indptr, weight = ctx.saved_tensors
    grad_x = SEGMENT_MATMUL(grad, indptr, weight.mT) if ctx.needs_input_grad[0] else None
    grad_weight = SEGMENT_OUTER(x, indptr, grad) if ctx.needs_input_grad[2] else None
    return grad_x, None, grad_weight


def _fake_outer(x: Tensor, indptr: Tensor, grad: Tensor) -> Tensor:
    return x.new_empty(indptr.shape[0] - 1, x.shape[1], grad.shape[1])


def _backward_outer(ctx: Any, outer: Tensor) -> tuple:
    x, indptr, grad = ctx.saved_tensors
    grad_x = SEGMENT_MATMUL(grad, indptr, outer.mT) if ctx.needs_input_grad[0] else None
    grad_grad = SEGMENT_MATMUL(x, indptr, outer) if ctx.needs_input_grad[2] else None
    return grad_x, None, grad_grad


SEGMENT_MATMUL = Op(
    "segment_matmul",
    "(Tensor x, Tensor indptr, Tensor weight) -> Tensor",
    reference=reference.segment_matmul,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton="graphkern.ops.segment_matmul.triton:segment_matmul",
)
SEGMENT_OUTER = Op(
    "segment_outer",
    "(Tensor x, Tensor indptr, Tensor grad) -> Tensor",
    reference=reference.segment_outer,
    fake=_fake_outer,
    backward=_backward_outer,
    setup_context=_setup,
    triton="graphkern.ops.segment_matmul.triton:segment_outer",
)
