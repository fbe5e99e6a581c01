from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops._dtype import accumulate_dtype


def scatter_reduce(src: Tensor, index: Tensor, dim_size: int, reduce: str) -> Tensor:
    """src: [B, L, K]; index: [B or 1, L, K or 1]; reduce: sum or mean. Returns [B, dim_size, K]"""
    target = index.long().expand(src.shape)
    values = src.to(accumulate_dtype(src.dtype))
    zeros = values.new_zeros(src.shape[0], dim_size, src.shape[2])
    out = zeros.scatter_add(1, target, values)
    if reduce == "mean":
        out = out / zeros.scatter_add(1, target, torch.ones_like(values)).clamp(min=1)
    return out.to(src.dtype)


def scatter_extremum(src: Tensor, index: Tensor, dim_size: int, reduce: str) -> tuple[Tensor, Tensor]:
    """out [B, dim_size, K], and arg: the position in L that gave it, the first of equals, -1 where there is none."""
    target, length = index.long().expand(src.shape), src.shape[1]
    out = src.new_zeros(src.shape[0], dim_size, src.shape[2])
    out.scatter_reduce_(1, target, src, "amax" if reduce == "max" else "amin", include_self=False)
    hit = (src == out.gather(1, target)) | src.isnan()
    position = torch.arange(length, device=src.device)[None, :, None].expand(src.shape)
    arg = torch.full(out.shape, length, device=src.device)
    arg.scatter_reduce_(1, target, torch.where(hit, position, length), "amin")
    return out, torch.where(arg == length, -1, arg).to(index.dtype)
