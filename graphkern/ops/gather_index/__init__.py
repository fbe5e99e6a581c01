"""Rows or values taken by an index that broadcasts as scatter_reduce's does: its gradient. Internal."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import OPS, Op
from graphkern.ops.gather_index.reference import gather_index as reference


def _fake(x: Tensor, index: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], index.shape[1], x.shape[2])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, index = inputs
    ctx.size = x.shape[1]
    ctx.save_for_backward(index)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    return OPS["scatter_reduce"](grad, *ctx.saved_tensors, ctx.size, "sum"), None


GATHER_INDEX = Op(
    "gather_index",
    "(Tensor x, Tensor index) -> Tensor",
    reference=reference,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
)
