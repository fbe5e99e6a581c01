from __future__ import annotations

import torch
from torch import Tensor


def counting_sort(index: Tensor, num_bins: int) -> tuple[Tensor, Tensor]:
    """indptr [num_bins + 1]: where each bin begins; permutation [E]: positions in index, bin by bin, stable."""
    permutation = torch.argsort(index, stable=True)
    count = torch.zeros(num_bins + 1, dtype=torch.long, device=index.device)
    count.scatter_add_(0, index.long() + 1, torch.ones_like(index, dtype=torch.long))
    return count.cumsum(0).to(index.dtype), permutation.to(index.dtype)
