from __future__ import annotations

from torch import Tensor

from graphkern.csr import row_index
from graphkern.ops._attention import softmax_rows, sum_rows
from graphkern.ops._dtype import accumulate_dtype


def edge_softmax(indptr: Tensor, score: Tensor) -> Tensor:
    """score: [E, H]. Returns [E, H]."""
    row = row_index(indptr, score.shape[0]).long()
    return softmax_rows(score.to(accumulate_dtype(score.dtype)), row, indptr.shape[0] - 1)[0].to(score.dtype)


def edge_softmax_backward(indptr: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    """weight * (grad - sum over the row of weight * grad), all [E, H]."""
    row = row_index(indptr, weight.shape[0]).long()
    accumulate = accumulate_dtype(weight.dtype)
    g, w = grad.to(accumulate), weight.to(accumulate)
    return (w * (g - sum_rows(w * g, row, indptr.shape[0] - 1)[row])).to(weight.dtype)
