from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.graph import increment_version

from graphkern.optim import _rows


class RowwiseAdam(torch.optim.SparseAdam):
    """torch.optim.SparseAdam in one pass over the rows that a gradient names.

    Args:
        params: float32, float64, float16 or bfloat16, [N, ...], contiguous; parameters or groups of them.
        lr, betas, eps, maximize: as torch.optim.SparseAdam. Adam's decay of moments and its steps reach a row only when
            a gradient names it; the bias correction counts all steps.
    Raises: TypeError for another dtype of a parameter; ValueError for a sparse, 0-d or non-contiguous one; in step
        RuntimeError for a gradient that is dense or has not one sparse dimension.
    Cost: a step reads a gradient of n rows, reads and writes n rows of the parameter and of its two moments. A gradient
        that is not coalesced is sorted (16 bytes a row) and summed on the way, its rows in their order.

    The state is that of SparseAdam, in the parameter's dtype, and state_dicts go both ways. Arithmetic on halves is in
    float32, each moment rounded once a step; bfloat16 and float16 hold a moment of squares badly (with beta2 .999 a
    change below 1 in 256 is lost): float32 parameters are what Adam is made for.
    Source: Kingma and Ba 2015 (arXiv:1412.6980).
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        _rows.check_parameters(self.param_groups[-1])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; closure reevaluates the model and returns the loss, which this returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for param, indices, values in list(_rows.gradients(self, group)):
                state = self.state[param]
                if not state:
                    state.update(step=0, exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
                state["step"] += 1
                step_size = float(group["lr"]) * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
                tables = (param, state["exp_avg"], state["exp_avg_sq"])
                _rows.ROWWISE_ADAM.forward_only(
                    *tables, indices, values, step_size, beta1, beta2, group["eps"], group["maximize"]
                )
                increment_version(tables)
        return loss
