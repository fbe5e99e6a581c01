from __future__ import annotations

from torch import Tensor


def gather_index(x: Tensor, index: Tensor) -> Tensor:
    """x: [B, N, K]; index: [B or 1, L, K or 1]. Returns [B, L, K]"""
    return x.gather(1, index.long().expand(x.shape[0], -1, x.shape[2]))
