"""Gradients of two embedding tables from those of the scores of their rows: for bpr_loss and bce_loss. Internal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.ops.pair_gradient import reference


def setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    """Of an operator (user, item, u, i, j or label, sparse) -> (loss, slope)."""
    user, item, u, i, fifth, ctx.sparse = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], user, item, u, i, None if fifth.is_floating_point() else fifth)


def backward(ctx: Any, grad: Tensor, _grad_slope: Tensor) -> tuple:
    slope, user, item, u, i, j = ctx.saved_tensors
    need_user, need_item = ctx.needs_input_grad[:2]
    args = (grad, slope, user, item, u, i, j, need_user, need_item)
    if not ctx.sparse:
        grad_user, grad_item = PAIR_GRADIENT(*args)
        return grad_user if need_user else None, grad_item if need_item else None, None, None, None, None
    user_rows, user_values, item_rows, item_values = PAIR_GRADIENT_ROWS(*args)
    _mark_as_coalesced((user, user_values), (item, item_values))
    grad_user = _sparse(user, user_rows, user_values) if need_user else None
    return grad_user, _sparse(item, item_rows, item_values) if need_item else None, None, None, None, None


def _sparse(table: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(rows, values, table.shape, is_coalesced=True, check_invariants=False)


def _mark_as_coalesced(*gradients: tuple[Tensor, Tensor]) -> None:
    """Autograd makes a tensor of its own of the rows and values that become table.grad, and forgets that they are
    coalesced: it is told again when it is done."""
    marks = [(table, values.data_ptr()) for table, values in gradients if table.is_leaf and table.grad is None]

    def mark() -> None:
        for table, data in marks:
            grad = table.grad
            if grad is not None and grad.is_sparse and grad._values().data_ptr() == data:
                grad._coalesced_(True)

    if marks:
        torch.autograd.Variable._execution_engine.queue_callback(mark)


def _fake(grad, slope, user: Tensor, item: Tensor, u, i, j, need_user: bool, need_item: bool) -> tuple[Tensor, Tensor]:
    return user.new_empty(user.shape if need_user else 0), item.new_empty(item.shape if need_item else 0)


def _fake_rows(
    grad, slope, user: Tensor, item: Tensor, u, i, j, need_user: bool, need_item: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    def named(table: Tensor, needed: bool) -> tuple[Tensor, Tensor]:
        count = torch.library.get_ctx().new_dynamic_size() if needed else 0
        return table.new_empty(1, count, dtype=torch.int64), table.new_empty(count, table.shape[1])

    return *named(user, need_user), *named(item, need_item)


_SCHEMA = (
    "(Tensor grad, Tensor slope, Tensor user, Tensor item, Tensor u, Tensor i, Tensor? j, bool need_user,"
    " bool need_item)"
)
PAIR_GRADIENT = Op("pair_gradient", f"{_SCHEMA} -> (Tensor, Tensor)", reference=reference.pair_gradient, fake=_fake)
PAIR_GRADIENT_ROWS = Op(
    "pair_gradient_rows",
    f"{_SCHEMA} -> (Tensor, Tensor, Tensor, Tensor)",
    reference=reference.pair_gradient_rows,
    fake=_fake_rows,
)
