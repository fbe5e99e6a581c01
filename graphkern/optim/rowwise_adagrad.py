from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern.ops.rowwise_adam import ROWWISE_ADAGRAD
from graphkern.optim._rowwise import Rowwise


class RowwiseAdagrad(Rowwise, torch.optim.Adagrad):
    """torch.optim.Adagrad for sparse gradients, in one pass over the rows that a gradient names.

    Args:
        params: float32, float64, float16 or bfloat16, [N, ...], contiguous; parameters or groups of them.
        lr, lr_decay, eps, initial_accumulator_value, maximize: as torch.optim.Adagrad.
    Raises: TypeError for another dtype of a parameter; ValueError for a sparse, 0-d or non-contiguous one; in step
        RuntimeError for a gradient that is dense or has not one sparse dimension, or for weight decay (which a
        state_dict of torch's class may bring).
    Cost: a step reads a gradient of n rows, reads and writes n rows of the parameter and of its sum of squares. A
        gradient that is not coalesced is sorted (16 bytes a row, 24 on CUDA) and summed on the way, its rows in their
        order. On CUDA a step waits for the device once, to see whether it is.

    The state is that of torch.optim.Adagrad, in the parameter's dtype, and state_dicts go both ways. Arithmetic on
    halves is in float32, the sum rounded once a step: in bfloat16 and float16 it stops to grow where a square is too
    small beside it.
    Source: Duchi et al. 2011 (jmlr.org/papers/v12/duchi11a.html).
    """

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-2,
        lr_decay: float = 0,
        eps: float = 1e-10,
        initial_accumulator_value: float = 0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            eps=eps,
            initial_accumulator_value=initial_accumulator_value,
            maximize=maximize,
        )

    def update(self, group: dict[str, Any], param: Tensor, indices: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        if group["weight_decay"]:
            raise RuntimeError(f"sparse gradients take no weight decay but it is {group['weight_decay']}")
        state = self.state[param]
        if not state:  # of a group that was added later
            first = group["initial_accumulator_value"]
            state.update(step=torch.tensor(0.0), sum=torch.full_like(param, first))
        state["step"] += 1
        step_size = float(group["lr"]) / (1 + (float(state["step"]) - 1) * group["lr_decay"])
        tables = (param, state["sum"])
        ROWWISE_ADAGRAD.forward_only(*tables, indices, values, step_size, group["eps"], group["maximize"])
        return tables
