from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from graphkern.ops._dtype import accumulate_dtype


def _accumulate(x: Tensor) -> Tensor:
    return x.to(accumulate_dtype(x.dtype))


def segment_matmul(x: Tensor, indptr: Tensor, weight: Tensor) -> Tensor:
    """x: [L, F_in], weight: [S, F_in, F_out]. Returns [L, F_out]"""
    out = x.new_zeros(x.shape[0], weight.shape[2])
    for segment, (begin, end) in enumerate(pairwise(indptr.tolist())):
        out[begin:end] = _accumulate(x[begin:end]) @ _accumulate(weight[segment])
    return out


def segment_outer(x: Tensor, indptr: Tensor, grad: Tensor) -> Tensor:
    """[S, F_in, F_out]: the sum over each segment of the outer products of x [L, F_in] and grad [L, F_out]."""
    out = x.new_zeros(indptr.shape[0] - 1, x.shape[1], grad.shape[1])
    for segment, (begin, end) in enumerate(pairwise(indptr.tolist())):
        out[segment] = _accumulate(x[begin:end]).T @ _accumulate(grad[begin:end])
    return out
