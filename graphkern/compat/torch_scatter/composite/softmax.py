"""Softmax over the entries that share an index, and its logarithm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern.compat.torch_scatter._operators import scriptable
from graphkern.compat.torch_scatter._scatter import Places
from graphkern.compat.torch_scatter.composite._take import take_back
from graphkern.compat.torch_scatter.scatter import scatter, scatter_sum
from graphkern.ops.gather_index import GATHER_INDEX
from graphkern.ops.scatter_reduce import SCATTER_EXTREMUM, SCATTER_REDUCE


@scriptable
def scatter_softmax(src: Tensor, index: Tensor, dim: int = -1, dim_size: int | None = None) -> Tensor:
    """Softmax over the entries of src along dim that have the same index.

    Args:
        src: floating. index, dim, dim_size: as in `scatter`; dim_size bounds the index.
    Returns: shape and dtype of src.
    Raises: ValueError if src is not floating, and as `scatter`.
    Cost: four passes over src and two more buffers of its size. Differentiable twice.

    Example: ``scatter_softmax(torch.zeros(3), torch.tensor([0, 0, 1]))`` is ``[0.5, 0.5, 1]``.
    """
    if not torch.is_floating_point(src):
        raise ValueError("scatter_softmax needs floating point values")
    if not torch.jit.is_scripting():
        places = Places(src, index, dim, None, dim_size)
        return places.guarded(_Softmax.apply, places.values, places.index, places.size).reshape(src.shape)
    top = scatter(src, index, dim, None, dim_size, "max")
    weight = torch.exp(src - take_back(top, index, src, dim))
    total = scatter_sum(weight, index, dim, None, dim_size)
    return weight / take_back(total, index, src, dim)


class _Softmax(torch.autograd.Function):
    """src: [B, L, K]; index: [B or 1, L, K or 1] in [0, size)."""

    @staticmethod
    def forward(ctx: Any, src: Tensor, index: Tensor, size: int) -> Tensor:
        weight = GATHER_INDEX(SCATTER_EXTREMUM(src, index, size, "max")[0], index)
        torch.sub(src, weight, out=weight).exp_()
        weight.div_(GATHER_INDEX(SCATTER_REDUCE(weight, index, size, "sum"), index))
        ctx.save_for_backward(weight, index)
        ctx.size = size
        return weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        weight, index = ctx.saved_tensors
        share = grad * weight
        mean = GATHER_INDEX(SCATTER_REDUCE(share, index, ctx.size, "sum"), index)
        return share - weight * mean, None, None


@scriptable
def scatter_log_softmax(
    src: Tensor, index: Tensor, dim: int = -1, eps: float = 1e-12, dim_size: int | None = None
) -> Tensor:
    """Logarithm of `scatter_softmax`; eps is added to each sum of exponentials before its logarithm is taken.

    Returns: shape and dtype of src. Raises: as `scatter_softmax`. Differentiable twice.
    """
    if not torch.is_floating_point(src):
        raise ValueError("scatter_log_softmax needs floating point values")
    top = scatter(src, index, dim, None, dim_size, "max")
    shifted = src - take_back(top, index, src, dim)
    total = scatter_sum(shifted.exp(), index, dim, None, dim_size)
    return shifted.sub_(take_back(total.add_(eps).log_(), index, src, dim))
