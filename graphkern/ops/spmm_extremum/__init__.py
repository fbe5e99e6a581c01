"""The max and min forms of spmm and their gradients. Internal: users meet them through spmm(reduce=...)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import Op
from graphkern.csr import ORDERED_GRAPH_GRADIENT_SCHEMA, ORDERED_GRAPH_SCHEMA
from graphkern.ops.spmm_extremum import reference

_TRITON = "graphkern.ops.spmm_extremum.triton:"


def _fake(indptr: Tensor, indices: Tensor, t_indptr, t_indices, t_edge, x: Tensor, weight, reduce, keep_arg: bool):
    num_rows, features = indptr.shape[0] - 1, x.shape[1]
    return x.new_empty(num_rows, features), indices.new_empty(num_rows if keep_arg else 0, features)


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *graph, x, weight, _reduce, _keep_arg = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*graph, output[1], x, weight)


def _backward(ctx: Any, grad: Tensor, _grad_arg: Tensor) -> tuple:
    *graph, arg, x, weight = ctx.saved_tensors
    grad_x = GRAD_X(*graph, grad, arg, weight) if ctx.needs_input_grad[5] else None
    grad_weight = GRAD_WEIGHT(*graph, grad, arg, x, weight.shape[1]) if ctx.needs_input_grad[6] else None
    return *_NO_GRAPH, grad_x, grad_weight, None, None


_NO_GRAPH = (None,) * 5


def _at_winner(value: Tensor, arg: Tensor, index: Tensor | None = None) -> Tensor:
    """[N, F]: at each entry the value ([rows, F], or [rows, H] spread over F) of its winning edge; 0 where none.

    index: the row of value that an edge reads; None is the edge itself.
    """
    edge = arg.clamp(min=0).long()
    rows = edge if index is None else index[edge].long()
    value = value.repeat_interleave(arg.shape[1] // value.shape[1], dim=1)
    return value.gather(0, rows) * (arg >= 0)


def _fake_grad_x(indptr, indices, t_indptr: Tensor, t_indices, t_edge, grad: Tensor, arg, weight) -> Tensor:
    return grad.new_empty(t_indptr.shape[0] - 1, grad.shape[1])


def _setup_grad_x(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward_grad_x(ctx: Any, outer: Tensor) -> tuple:
    *graph, grad, arg, weight = ctx.saved_tensors
    grad_grad = grad_weight = None
    if ctx.needs_input_grad[5]:
        grad_grad = _at_winner(outer, arg, graph[1])
        if weight is not None:
            grad_grad = grad_grad * _at_winner(weight, arg)
    if ctx.needs_input_grad[7]:
        grad_weight = GRAD_WEIGHT(*graph, grad, arg, outer, weight.shape[1])
    return *_NO_GRAPH, grad_grad, None, grad_weight


def _fake_grad_weight(indptr, indices: Tensor, t_indptr, t_indices, t_edge, grad, arg, x: Tensor, heads: int) -> Tensor:
    return x.new_empty(indices.shape[0], heads)


def _setup_grad_weight(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:-1])


def _backward_grad_weight(ctx: Any, outer: Tensor) -> tuple:
    *graph, grad, arg, x = ctx.saved_tensors
    grad_grad = grad_x = None
    if ctx.needs_input_grad[5]:
        grad_grad = _at_winner(outer, arg) * _at_winner(x, arg, graph[1])
    if ctx.needs_input_grad[7]:
        grad_x = GRAD_X(*graph, grad, arg, outer)
    return *_NO_GRAPH, grad_grad, None, grad_x, None


SPMM_EXTREMUM = Op(
    "spmm_extremum",
    f"({ORDERED_GRAPH_SCHEMA}, Tensor x, Tensor? weight, str reduce, bool keep_arg) -> (Tensor, Tensor)",
    reference=reference.spmm_extremum,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton=_TRITON + "spmm_extremum",
)
GRAD_X = Op(
    "spmm_extremum_grad_x",
    f"({ORDERED_GRAPH_GRADIENT_SCHEMA}, Tensor grad, Tensor arg, Tensor? weight) -> Tensor",
    reference=reference.spmm_extremum_grad_x,
    fake=_fake_grad_x,
    backward=_backward_grad_x,
    setup_context=_setup_grad_x,
    triton=_TRITON + "spmm_extremum_grad_x",
)
GRAD_WEIGHT = Op(
    "spmm_extremum_grad_weight",
    f"({ORDERED_GRAPH_GRADIENT_SCHEMA}, Tensor grad, Tensor arg, Tensor x, int heads) -> Tensor",
    reference=reference.spmm_extremum_grad_weight,
    fake=_fake_grad_weight,
    backward=_backward_grad_weight,
    setup_context=_setup_grad_weight,
    triton=_TRITON + "spmm_extremum_grad_weight",
)
