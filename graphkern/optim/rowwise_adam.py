from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphkern.ops.rowwise_adam import ROWWISE_ADAM
from graphkern.optim._rowwise import Rowwise


class RowwiseAdam(Rowwise, torch.optim.SparseAdam):
    """torch.optim.SparseAdam in one pass over the rows that a gradient names.

    Args:
        params: float32, float64, float16 or bfloat16, [N, ...], contiguous; parameters or groups of them.
        lr, betas, eps, maximize: as torch.optim.SparseAdam. Adam's decay of moments and its steps reach a row only when
            a gradient names it; the bias correction counts all steps.
    Raises: TypeError for another dtype of a parameter; ValueError for a sparse, 0-d or non-contiguous one; in step
        RuntimeError for a gradient that is dense or has not one sparse dimension.
    Cost: a step reads a gradient of n rows, reads and writes n rows of the parameter and of its two moments. A gradient
        that is not coalesced is sorted (16 bytes a row, 24 on CUDA) and summed on the way, its rows in their order.
        On CUDA a step waits for the device once, to see whether it is.

    The state is that of SparseAdam, in the parameter's dtype, and state_dicts go both ways. Arithmetic on halves is in
    float32, each moment rounded once a step; bfloat16 and float16 hold a moment of squares badly (with beta2 .999 a
    change below 1 in 256 is lost): float32 parameters are what Adam is made for.
    Source: Kingma and Ba 2015 (arXiv:1412.6980).
    """

    def update(self, group: dict[str, Any], param: Tensor, indices: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        state = self.state[param]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        step_size = float(group["lr"]) * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        tables = (param, state["exp_avg"], state["exp_avg_sq"])
        ROWWISE_ADAM.forward_only(*tables, indices, values, step_size, beta1, beta2, group["eps"], group["maximize"])
        return tables
