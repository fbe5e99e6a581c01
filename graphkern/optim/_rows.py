"""What the row-wise optimizers share: their operators, and what they take for a parameter and for a gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.ops import _check
from graphkern.optim import reference

Gradient = tuple[Tensor, Tensor, Tensor]  # parameter, indices [1, n], values [n, ...]


def check_parameters(group: dict[str, Any]) -> None:
    for param in group["params"]:
        if param.dtype not in _check.FLOAT_DTYPES:
            raise TypeError(f"parameters must be float32, float64, float16 or bfloat16 but one is {param.dtype}")
        if param.layout != torch.strided or param.dim() == 0 or not param.is_contiguous():
            raise ValueError(f"parameters must be dense, contiguous and [N, ...] but one is {list(param.shape)}")


def gradients(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> Iterator[Gradient]:
    """Of each parameter of the group that has a gradient."""
    for param in group["params"]:
        grad = param.grad
        if grad is None:
            continue
        name = type(optimizer).__name__
        if not grad.is_sparse:
            raise RuntimeError(
                f"{name} does not take dense gradients: make sparse ones, as with bpr_loss(..., sparse=True) or"
                " torch.nn.Embedding(..., sparse=True), or use an optimizer of torch.optim"
            )
        if grad.sparse_dim() != 1:
            raise RuntimeError(f"{name} takes gradients with one sparse dimension but one has {grad.sparse_dim()}")
        yield param, grad._indices(), grad._values()


_ROWS = "Tensor indices, Tensor values, float step_size"
ROWWISE_ADAM = Op(
    "rowwise_adam",
    f"(Tensor(a!) param, Tensor(b!) exp_avg, Tensor(c!) exp_avg_sq, {_ROWS}, float beta1, float beta2, float eps,"
    " bool maximize) -> ()",
    reference=reference.rowwise_adam,
    fake=lambda *args: None,
    mutates=True,
)
ROWWISE_ADAGRAD = Op(
    "rowwise_adagrad",
    f"(Tensor(a!) param, Tensor(b!) sum, {_ROWS}, float eps, bool maximize) -> ()",
    reference=reference.rowwise_adagrad,
    fake=lambda *args: None,
    mutates=True,
)
