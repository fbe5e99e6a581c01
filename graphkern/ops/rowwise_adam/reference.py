from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops._dtype import accumulate_dtype


def _gradient(indices: Tensor, values: Tensor, maximize: bool) -> tuple[Tensor, Tensor]:
    """[n] the rows named, each once, and [n, ...] their gradients in the dtype that sums are kept in."""
    rows, place = torch.unique(indices[0], return_inverse=True)
    wide = values.to(accumulate_dtype(values.dtype))
    sums = wide.new_zeros(rows.shape[0], *values.shape[1:]).index_add_(0, place, wide)
    return rows, -sums if maximize else sums


def rowwise_adam(
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    indices: Tensor,
    values: Tensor,
    step_size: float,
    beta1: float,
    beta2: float,
    eps: float,
    maximize: bool,
) -> None:
    """exp_avg and exp_avg_sq [N, ...] move towards the gradient and its square, param by step_size * exp_avg /
    (sqrt(exp_avg_sq) + eps), in the rows of param [N, ...] that indices [1, n] name; values: [n, ...]. Rows named more
    than once add up. Each table rounds once."""
    rows, gradient = _gradient(indices, values, maximize)
    average, square = exp_avg[rows].to(gradient.dtype), exp_avg_sq[rows].to(gradient.dtype)
    average = average + (gradient - average) * (1 - beta1)
    square = square + (gradient * gradient - square) * (1 - beta2)
    moved = param[rows].to(gradient.dtype) - step_size * (average / (square.sqrt() + eps))
    for table, new in ((exp_avg, average), (exp_avg_sq, square), (param, moved)):
        table[rows] = new.to(table.dtype)


def rowwise_adagrad(
    param: Tensor, sum: Tensor, indices: Tensor, values: Tensor, step_size: float, eps: float, maximize: bool
) -> None:
    """sum grows by the gradient's square, param moves by step_size * gradient / (sqrt(sum) + eps); else as above."""
    rows, gradient = _gradient(indices, values, maximize)
    total = sum[rows].to(gradient.dtype) + gradient * gradient
    moved = param[rows].to(gradient.dtype) - step_size * (gradient / (total.sqrt() + eps))
    sum[rows], param[rows] = total.to(sum.dtype), moved.to(param.dtype)
