"""What tests of torch_sparse import from it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

reductions = ["sum", "add", "mean", "min", "max"]
grad_dtypes = [torch.half, torch.float, torch.double, torch.bfloat16]
dtypes = [*grad_dtypes, torch.int, torch.long]
devices = [torch.device("cpu")] + ([torch.device("cuda:0")] if torch.cuda.is_available() else [])


def tensor(x: Any, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    return None if x is None else torch.tensor(x, dtype=dtype, device=device)
