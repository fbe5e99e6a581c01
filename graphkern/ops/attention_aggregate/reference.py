from __future__ import annotations

from torch import Tensor

from graphkern.ops._attention import ends, keep_scale, softmax_rows, sum_rows
from graphkern.ops._dtype import accumulate_dtype


def attention_aggregate(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    dropout_p: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """q: [N, H, D], k, v: [M, H, D]. Returns out [N, H, D] and the scores' log-sum-exp [N, H]."""
    row, column = ends(indptr, indices)
    accumulate = accumulate_dtype(q.dtype)
    score = scale * (q.to(accumulate)[row] * k.to(accumulate)[column]).sum(-1)
    weight, lse = softmax_rows(score, row, q.shape[0])
    keep = keep_scale(row.shape[0], q.shape[1], dropout_p, seed, weight)
    out = sum_rows((weight * keep)[:, :, None] * v.to(accumulate)[column], row, q.shape[0])
    return out.to(q.dtype), lse


def attention_aggregate_backward(
    grad: Tensor,
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor,
    t_indices: Tensor,
    t_edge: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    dropout_p: float,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for q, k and v; grad, out: [N, H, D]."""
    row, column = ends(indptr, indices)
    accumulate = accumulate_dtype(q.dtype)
    query, key, g = q.to(accumulate)[row], k.to(accumulate)[column], grad.to(accumulate)
    weight = (scale * (query * key).sum(-1) - lse[row]).exp()
    keep = keep_scale(row.shape[0], q.shape[1], dropout_p, seed, weight)
    grad_weight = keep * (g[row] * v.to(accumulate)[column]).sum(-1)
    delta = (g * out.to(accumulate)).sum(-1)
    grad_score = (scale * weight * (grad_weight - delta[row]))[:, :, None]
    grad_q = sum_rows(grad_score * key, row, q.shape[0])
    grad_k = sum_rows(grad_score * query, column, k.shape[0])
    grad_v = sum_rows((weight * keep)[:, :, None] * g[row], column, v.shape[0])
    return grad_q.to(q.dtype), grad_k.to(q.dtype), grad_v.to(q.dtype)
