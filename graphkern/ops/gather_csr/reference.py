from __future__ import annotations

from torch import Tensor

from graphkern.ops.segment_reduce.reference import segment_index


def gather_csr(src: Tensor, indptr: Tensor, length: int, reduce: str) -> Tensor:
    """[B, length, K]: src [B, S, K] at the segment of each position, 0 outside of all; the adjoint of segment_reduce.

    reduce: sum, or mean, which divides by the number of entries of the segment.
    """
    if reduce == "mean":
        src = (src / (indptr[1:] - indptr[:-1]).clamp(min=1)[:, None]).to(src.dtype)
    padded = src.new_zeros(src.shape[0], indptr.shape[0], src.shape[2])
    padded[:, :-1] = src
    return padded.index_select(1, segment_index(indptr, length))
