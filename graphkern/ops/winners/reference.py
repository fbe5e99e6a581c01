from __future__ import annotations

from torch import Tensor


def put_winners(value: Tensor, arg: Tensor, length: int) -> Tensor:
    """[B, length, K]: value [B, N, K] at position arg [B, N, K] of its column, -1 nowhere; 0 elsewhere.

    No position occurs twice in a column.
    """
    out = value.new_zeros(value.shape[0], length + 1, value.shape[2])
    out.scatter_(1, arg.long().where(arg >= 0, length), value)
    return out[:, :length].contiguous()


def take_winners(x: Tensor, arg: Tensor) -> Tensor:
    """[B, N, K]: x [B, L, K] at position arg of its column; 0 where arg is -1."""
    if x.shape[1] == 0:
        return x.new_zeros(arg.shape)
    return x.gather(1, arg.long().clamp(min=0)).masked_fill(arg < 0, 0)
