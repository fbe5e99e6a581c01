"""Gradients of max and min: values put at, or taken from, the winning positions. Internal."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import Op
from graphkern.ops.winners import reference


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.length = inputs[0].shape[1]


def _fake_put(value: Tensor, arg: Tensor, length: int) -> Tensor:
    return value.new_empty(value.shape[0], length, value.shape[2])


def _backward_put(ctx: Any, grad: Tensor) -> tuple:
    return TAKE_WINNERS(grad, *ctx.saved_tensors), None, None


def _fake_take(x: Tensor, arg: Tensor) -> Tensor:
    return x.new_empty(arg.shape)


def _backward_take(ctx: Any, grad: Tensor) -> tuple:
    return PUT_WINNERS(grad, *ctx.saved_tensors, ctx.length), None


PUT_WINNERS = Op(
    "put_winners",
    "(Tensor value, Tensor arg, SymInt length) -> Tensor",
    reference=reference.put_winners,
    fake=_fake_put,
    backward=_backward_put,
    setup_context=_setup,
)
TAKE_WINNERS = Op(
    "take_winners",
    "(Tensor x, Tensor arg) -> Tensor",
    reference=reference.take_winners,
    fake=_fake_take,
    backward=_backward_take,
    setup_context=_setup,
)
