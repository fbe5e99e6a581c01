"""What bpr_loss and bce_loss check, and what they call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import INDEX_DTYPES, check_range
from graphkern.ops import _check
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.pair_gradient import gradients, keep


def tables(user: Tensor, item: Tensor, sparse: bool) -> None:
    _check.floating(user=user, item=item)
    if user.dim() != 2 or item.dim() != 2 or user.shape[1] != item.shape[1]:
        raise ValueError(f"user must be [U, D] and item [I, D] but are {list(user.shape)} and {list(item.shape)}")
    if sparse and torch.compiler.is_compiling():
        raise NotImplementedError("sparse=True is for eager mode: torch.compile and torch.export trace dense gradients")


def index(user: Tensor, **index: Tensor) -> list[Tensor]:
    """Each [B] int32 or int64 on the device of user; returned in one dtype. Their values are the kernel's affair."""
    batch, dtypes = None, set()
    for name, tensor in index.items():
        if not isinstance(tensor, Tensor) or tensor.dtype not in INDEX_DTYPES:
            _check.index_dtype(tensor, name)
        if batch is None:
            batch = tensor.shape[:1]
        if tensor.dim() != 1 or tensor.shape != batch or tensor.device != user.device:
            raise ValueError(
                f"{name} must be [{batch[0] if batch else 'B'}] on {user.device} but is {list(tensor.shape)} on"
                f" {tensor.device}"
            )
        dtypes.add(tensor.dtype)
    return list(index.values()) if len(dtypes) == 1 else [tensor.long() for tensor in index.values()]


class _Eager(torch.autograd.Function):
    """What torch.library's autograd does for a loss, in half the time. Compilers see the operator's own."""

    @staticmethod
    def forward(ctx: Any, op: Op, user: Tensor, item: Tensor, u: Tensor, i: Tensor, fifth: Tensor, sparse: bool):
        loss, slope = op.forward_only(user, item, u, i, fifth, sparse)
        keep(ctx, slope, (user, item, u, i, fifth, sparse))
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return None, *gradients(ctx, grad, *ctx.needs_input_grad[1:3])


def guarded(op: Op, args: tuple, user: Tensor, item: Tensor, **index: Tensor) -> Tensor:
    """The loss. The kernels refuse an index out of range; only then are its values read here, to say what is wrong."""
    if torch.compiler.is_compiling():
        return op(*args)[0]
    try:
        if _check.needs_gradient(user, item):
            return _Eager.apply(op, *args)
        return op.forward_only(*args)[0]
    except (RuntimeError, IndexError):
        for name, tensor in index.items():
            check_range(tensor, (user if name == "u" else item).shape[0], name)
        raise


def setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    keep(ctx, output[1], inputs)


def backward(ctx: Any, grad: Tensor, _grad_slope: None) -> tuple:
    return gradients(ctx, grad, *ctx.needs_input_grad[:2])


def fake(user: Tensor, item, u: Tensor, i, fifth, sparse) -> tuple[Tensor, Tensor]:
    return user.new_empty(u.shape), user.new_empty(u.shape, dtype=accumulate_dtype(user.dtype))
