"""The identity as index and value."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def eye(m: int, dtype: torch.dtype | None = None, device: Any = None) -> tuple[Tensor, Tensor]:
    """The m x m identity."""
    row = torch.arange(m, device=device)
    return torch.stack([row, row]), torch.ones(m, dtype=dtype, device=device)
