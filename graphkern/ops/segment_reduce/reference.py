from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops.scatter_reduce import reference as scatter


def segment_index(indptr: Tensor, length: int) -> Tensor:
    """[length]: the segment of each position, S for those that belong to none. RuntimeError for an indptr that descends
    or leaves [0, length]."""
    num_segments = indptr.shape[0] - 1
    count = torch.cat([indptr[:1], indptr[1:] - indptr[:-1], length - indptr[-1:]])
    if bool((count < 0).any()):  # repeat_interleave would write out of bounds
        raise RuntimeError(f"indptr must ascend within [0, {length}]")
    segment = torch.arange(-1, num_segments + 1, device=indptr.device)
    segment[0] = num_segments
    return torch.repeat_interleave(segment, count.long(), output_size=length)


def segment_reduce(src: Tensor, indptr: Tensor, reduce: str) -> Tensor:
    """src: [B, L, K]; reduce: sum or mean. Returns [B, S, K]"""
    index = segment_index(indptr, src.shape[1])[None, :, None]
    return scatter.scatter_reduce(src, index, indptr.shape[0], reduce)[:, :-1].contiguous()


def segment_extremum(src: Tensor, indptr: Tensor, reduce: str) -> tuple[Tensor, Tensor]:
    """out [B, S, K], and arg: the position in L that gave it, the first of equals, -1 in an empty segment."""
    index = segment_index(indptr, src.shape[1])[None, :, None]
    out, arg = scatter.scatter_extremum(src, index, indptr.shape[0], reduce)
    return out[:, :-1].contiguous(), arg[:, :-1].to(indptr.dtype).contiguous()
