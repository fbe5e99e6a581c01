"""What test suites of and around torch_scatter import: reductions, dtypes, devices, a tensor from a list."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

reductions = ["sum", "add", "mean", "min", "max"]
dtypes = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32, torch.int64]
grad_dtypes = [torch.float32, torch.float64]
devices = [torch.device(name) for name in ("cpu", "cuda:0")[: 1 + torch.cuda.is_available()]]


def tensor(x: Any, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """x, nested lists of numbers, as a tensor; None stays None."""
    return None if x is None else torch.tensor(x, device=device).to(dtype)
