"""What the row-wise optimizers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from graphkern.ops import _check


class Rowwise(torch.optim.Optimizer):
    """Does the step of the torch optimizer that comes after it among the bases, whose state it keeps."""

    def update(self, group: dict[str, Any], param: Tensor, indices: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        """Step one parameter by its gradient, indices [1, n] and values [n, ...]; returns the tensors written."""
        raise NotImplementedError

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            if param.dtype not in _check.FLOAT_DTYPES:
                raise TypeError(f"parameters must be float32, float64, float16 or bfloat16 but one is {param.dtype}")
            if param.layout != torch.strided or param.dim() == 0 or not param.is_contiguous():
                raise ValueError(f"parameters must be dense, contiguous and [N, ...] but one is {list(param.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; closure reevaluates the model and returns the loss, which this returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param, indices, values in list(self._gradients(group)):
                increment_version(self.update(group, param, indices, values))
        return loss

    def _gradients(self, group: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(parameter, indices, values) of each parameter of the group that has a gradient."""
        name = type(self).__name__
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            if not grad.is_sparse:
                raise RuntimeError(
                    f"{name} does not take dense gradients: make sparse ones, as with bpr_loss(..., sparse=True) or"
                    " torch.nn.Embedding(..., sparse=True), or use an optimizer of torch.optim"
                )
            if grad.sparse_dim() != 1:
                raise RuntimeError(f"{name} takes gradients with one sparse dimension but one has {grad.sparse_dim()}")
            yield param, grad._indices(), grad._values()
