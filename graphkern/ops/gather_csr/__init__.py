"""One copy of a segment's value for each of its entries: torch_scatter's gather_csr."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern._op import OPS, Op
from graphkern.ops import _axis, _check
from graphkern.ops.gather_csr.reference import gather_csr as reference


def gather_csr(src: Tensor, indptr: Tensor, dim: int = 0, output_size: int | None = None) -> Tensor:
    """Repeat entry s of src indptr[s + 1] - indptr[s] times: the way back from segment_reduce.

    out[l] = src[s] for l from indptr[s] to indptr[s + 1]

    Args:
        src: any shape with at least one axis, S entries along dim; float32, float64, float16 or bfloat16.
        indptr: [S + 1] int32 or int64, never decreases, from 0 on.
        dim: the axis, negative from the end.
        output_size: L, entries of the result along dim, at least indptr[S]; None is indptr[S], which reads it. Give it
            under torch.compile and torch.export where the size is known: without it they need a size that depends on
            data (torch.compile: torch._dynamo.config.capture_scalar_outputs).
    Returns: shape of src with L along dim, dtype of src. Positions outside of all segments are 0.
    Raises: TypeError for an integer src or another dtype of indptr; ValueError for a wrong shape, device or dim, or
        (CPU, eager) an indptr that decreases or leaves [0, L].
    Cost: reads src and indptr, writes the result. Differentiable twice; the gradient is segment_reduce.
    Source: torch_scatter 2.1, gather_csr (github.com/rusty1s/pytorch_scatter).
    """
    _check.floating(src=src)
    dim = _axis.axis(src, dim)
    _axis.is_indptr(indptr, src, src.shape[dim])
    length: Any = indptr[-1].item() if output_size is None else output_size
    if torch.compiler.is_compiling():
        torch._check(length >= 0)
    elif length < 0:
        raise ValueError(f"the result cannot have {length} entries")

    def check() -> None:
        _axis.indptr_values(indptr, length)

    call = GATHER_CSR.known(_check.needs_gradient(src))
    out = _axis.guarded(call, (_axis.flatten(src, dim), indptr, length, "sum"), check)
    return _axis.unflatten(out, src, dim)


def _fake(src: Tensor, indptr: Tensor, length: int, reduce: str) -> Tensor:
    return src.new_empty(src.shape[0], length, src.shape[2])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _src, indptr, _length, ctx.reduce = inputs
    ctx.save_for_backward(indptr)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    return OPS["segment_reduce"](grad, *ctx.saved_tensors, ctx.reduce), None, None, None


GATHER_CSR = Op(
    "gather_csr",
    "(Tensor src, Tensor indptr, SymInt length, str reduce) -> Tensor",
    reference=reference,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
)
