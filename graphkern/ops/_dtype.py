"""The dtype that sums are kept in."""

import torch


def accumulate_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64, float32 for float32 and the halves."""
    return torch.float64 if dtype == torch.float64 else torch.float32
