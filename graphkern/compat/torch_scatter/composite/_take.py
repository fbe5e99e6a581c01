from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_scatter import _scatter
from graphkern.compat.torch_scatter.utils import broadcast


def take_back(reduced: Tensor, index: Tensor, src: Tensor, dim: int) -> Tensor:
    """What src was reduced to by index along dim, for each of its entries."""
    if not torch.jit.is_scripting():
        return _scatter.take(reduced, index, dim % src.dim(), src.shape)
    return reduced.gather(dim, broadcast(index, src, dim))
