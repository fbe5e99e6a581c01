from __future__ import annotations

from torch import Tensor
from torch.nn.functional import leaky_relu

from graphkern.ops._attention import ends, keep_scale, softmax_rows, sum_rows
from graphkern.ops._dtype import accumulate_dtype


def gatv2_aggregate(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    negative_slope: float,
    dropout_p: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """x_src: [M, H, D], x_dst: [N, H, D], att: [H, D]. Returns out [N, H, D] and the scores' log-sum-exp [N, H]."""
    row, column = ends(indptr, indices)
    accumulate = accumulate_dtype(x_src.dtype)
    source = x_src.to(accumulate)[column]
    score = (att.to(accumulate) * leaky_relu(source + x_dst.to(accumulate)[row], negative_slope)).sum(-1)
    weight, lse = softmax_rows(score, row, x_dst.shape[0])
    keep = keep_scale(row.shape[0], att.shape[0], dropout_p, seed, weight)
    out = sum_rows((weight * keep)[:, :, None] * source, row, x_dst.shape[0])
    return out.to(x_src.dtype), lse


def gatv2_aggregate_backward(
    grad: Tensor,
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor,
    t_indices: Tensor,
    t_edge: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    out: Tensor,
    lse: Tensor,
    negative_slope: float,
    dropout_p: float,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for x_src, x_dst and att; grad, out: [N, H, D]."""
    row, column = ends(indptr, indices)
    accumulate = accumulate_dtype(x_src.dtype)
    source, g, a = x_src.to(accumulate)[column], grad.to(accumulate), att.to(accumulate)
    z = source + x_dst.to(accumulate)[row]
    weight = ((a * leaky_relu(z, negative_slope)).sum(-1) - lse[row]).exp()
    keep = keep_scale(row.shape[0], att.shape[0], dropout_p, seed, weight)
    delta = (g * out.to(accumulate)).sum(-1)
    grad_score = (weight * (keep * (g[row] * source).sum(-1) - delta[row]))[:, :, None]
    slope = (z > 0).to(accumulate) * (1 - negative_slope) + negative_slope
    grad_z = grad_score * a * slope
    grad_src = sum_rows((weight * keep)[:, :, None] * g[row] + grad_z, column, x_src.shape[0])
    grad_dst = sum_rows(grad_z, row, x_dst.shape[0])
    grad_att = (grad_score * leaky_relu(z, negative_slope)).sum(0)
    return grad_src.to(x_src.dtype), grad_dst.to(x_src.dtype), grad_att.to(x_src.dtype)
