from __future__ import annotations

from torch import Tensor
from torch.nn.functional import leaky_relu

from graphkern.ops._attention import ends, keep_scale, softmax_rows, sum_rows
from graphkern.ops._dtype import accumulate_dtype


def _scores(row: Tensor, column: Tensor, alpha_src: Tensor, alpha_dst: Tensor, alpha_edge: Tensor | None) -> Tensor:
    """[E, H] before the leaky ReLU."""
    accumulate = accumulate_dtype(alpha_src.dtype)
    score = alpha_src.to(accumulate)[column] + alpha_dst.to(accumulate)[row]
    return score if alpha_edge is None else score + alpha_edge.to(accumulate)


def gat_aggregate(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    x: Tensor,
    alpha_src: Tensor,
    alpha_dst: Tensor,
    alpha_edge: Tensor | None,
    negative_slope: float,
    dropout_p: float,
    seed: int,
    keep_positive: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x: [M, H, D], alpha_src: [M, H], alpha_dst: [N, H], alpha_edge: [E, H].

    Returns out [N, H, D], the scores' log-sum-exp [N, H], and with keep_positive the parts that edges of positive
    score have in out [N, H, D] and in the softmax's total of 1 [N, H] (else empty); all but out in the
    accumulation type.
    """
    row, column = ends(indptr, indices)
    num_rows, heads = alpha_dst.shape
    score = _scores(row, column, alpha_src, alpha_dst, alpha_edge)
    weight, lse = softmax_rows(leaky_relu(score, negative_slope), row, num_rows)
    keep = keep_scale(row.shape[0], heads, dropout_p, seed, weight)
    message = (weight * keep)[:, :, None] * x.to(weight.dtype)[column]
    out = sum_rows(message, row, num_rows).to(x.dtype)
    if not keep_positive:
        return out, lse, lse.new_empty(0, *x.shape[1:]), lse.new_empty(0, heads)
    positive = (score > 0).to(weight.dtype)
    positive_out = sum_rows(message * positive[:, :, None], row, num_rows)
    return out, lse, positive_out, sum_rows(weight * positive, row, num_rows)


def gat_aggregate_backward(
    grad: Tensor,
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor,
    t_indices: Tensor,
    t_edge: Tensor,
    x: Tensor,
    alpha_src: Tensor,
    alpha_dst: Tensor,
    alpha_edge: Tensor | None,
    out: Tensor,
    lse: Tensor,
    positive_out: Tensor,
    positive_total: Tensor,
    negative_slope: float,
    dropout_p: float,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for x, alpha_src, alpha_dst and alpha_edge (empty where that is None); grad, out: [N, H, D]."""
    row, column = ends(indptr, indices)
    score = _scores(row, column, alpha_src, alpha_dst, alpha_edge)
    weight = (leaky_relu(score, negative_slope) - lse[row]).exp()
    keep = keep_scale(row.shape[0], lse.shape[1], dropout_p, seed, weight)
    g = grad.to(weight.dtype)
    grad_weight = keep * (g[row] * x.to(weight.dtype)[column]).sum(-1)
    delta = (g * out.to(weight.dtype)).sum(-1)
    slope = (score > 0).to(weight.dtype) * (1 - negative_slope) + negative_slope
    grad_score = weight * (grad_weight - delta[row]) * slope
    grad_x = sum_rows((weight * keep)[:, :, None] * g[row], column, x.shape[0])
    grad_src, grad_dst = sum_rows(grad_score, column, x.shape[0]), sum_rows(grad_score, row, lse.shape[0])
    grad_edge = grad_score if alpha_edge is not None else grad_score.new_empty(0, lse.shape[1])
    return grad_x.to(x.dtype), grad_src.to(x.dtype), grad_dst.to(x.dtype), grad_edge.to(x.dtype)
