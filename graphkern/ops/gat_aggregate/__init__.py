"""Graph attention: score, softmax, dropout and aggregation in one pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR, ORDERED_GRAPH_GRADIENT_SCHEMA, ORDERED_GRAPH_SCHEMA
from graphkern.ops import _attention, _check
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.gat_aggregate import reference


def gat_aggregate(
    adj: CSR,
    x: Tensor,
    alpha_src: Tensor,
    alpha_dst: Tensor,
    negative_slope: float = 0.2,
    dropout_p: float = 0.0,
    seed: int = 0,
    alpha_edge: Tensor | None = None,
) -> Tensor:
    """Sum the neighbors' features by attention weights that depend on one number a node and head.

    score[e, h] = leaky_relu(alpha_src[indices[e], h] + alpha_dst[i, h] + alpha_edge[e, h]) for edge e of row i
    out[i, h] = sum over edges e of row i of dropout(softmax over the row of score)[e, h] * x[indices[e], h]

    Args:
        adj: N x M, E edges.
        x: [M, H, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        alpha_src: [M, H], alpha_dst: [N, H], alpha_edge: [E, H] in CSR order or None; same dtype.
        negative_slope: of the leaky ReLU.
        dropout_p: in [0, 1); so many of the weights are dropped after the softmax, the others scale by 1 / (1 - p).
        seed: any int64; which weights are dropped is a function of (seed, edge, head) alone.
    Returns: [N, H, D], dtype of x; a row without edges gives 0.
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape or device, dropout_p or seed.
    Cost: one pass reads E (H D + H) values, writes N H D; keeps a log-sum-exp [N, H] and, where alpha_dst needs a
        gradient, N H (D + 1) more. The gradient is one pass over adj.t(). Nothing of the size of E is stored.
        Differentiable once, in x, alpha_src, alpha_dst and alpha_edge.
    Source: Velickovic et al. 2018 (arXiv:1710.10903); online softmax: Milakov and Gimelshein 2018 (arXiv:1805.02867).
    """
    extra = {} if alpha_edge is None else {"alpha_edge": alpha_edge}
    _attention.check_heads(adj, x=x, alpha_src=alpha_src, alpha_dst=alpha_dst, **extra)
    heads, depth = x.shape[1:]
    _attention.check_shape(x, "x", adj.num_cols, heads, depth)
    _attention.check_shape(alpha_src, "alpha_src", adj.num_cols, heads)
    _attention.check_shape(alpha_dst, "alpha_dst", adj.num_rows, heads)
    if alpha_edge is not None:
        _attention.check_shape(alpha_edge, "alpha_edge", adj.num_edges, heads)
    _attention.check_dropout(dropout_p, seed)
    needs_grad = _check.needs_gradient(x, alpha_src, alpha_dst, alpha_edge)
    keep_positive = _check.needs_gradient(alpha_dst)
    arguments = (*adj.ordered_tensors(needs_grad), x, alpha_src, alpha_dst, alpha_edge)
    return GAT_AGGREGATE.known(needs_grad)(*arguments, float(negative_slope), float(dropout_p), seed, keep_positive)[0]


def _fake(
    indptr, indices, t_indptr, t_indices, t_edge, x: Tensor, alpha_src, alpha_dst: Tensor, alpha_edge,
    negative_slope, dropout_p, seed, keep_positive: bool,
):  # fmt: skip
    rows, heads, depth = alpha_dst.shape[0], x.shape[1], x.shape[2]
    wide = accumulate_dtype(x.dtype)
    kept = rows if keep_positive else 0
    return (
        x.new_empty(rows, heads, depth),
        x.new_empty(rows, heads, dtype=wide),
        x.new_empty(kept, heads, depth, dtype=wide),
        x.new_empty(kept, heads, dtype=wide),
    )


def _fake_backward(
    grad, indptr, indices, t_indptr, t_indices, t_edge, x: Tensor, alpha_src: Tensor, alpha_dst: Tensor,
    alpha_edge: Tensor | None, out, lse, positive_out, positive_total, negative_slope, dropout_p, seed,
):  # fmt: skip
    grad_edge = x.new_empty((0, x.shape[1]) if alpha_edge is None else alpha_edge.shape)
    return x.new_empty(x.shape), x.new_empty(alpha_src.shape), x.new_empty(alpha_dst.shape), grad_edge


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.negative_slope, ctx.dropout_p, ctx.seed, _keep_positive = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx: Any, grad: Tensor, *_others: Tensor) -> tuple:
    options = (ctx.negative_slope, ctx.dropout_p, ctx.seed)
    grads = GAT_AGGREGATE_BACKWARD(grad, *ctx.saved_tensors, *options)
    needed = [g if needs else None for g, needs in zip(grads, ctx.needs_input_grad[5:9], strict=True)]
    return None, None, None, None, None, *needed, None, None, None, None


_VALUES = "Tensor x, Tensor alpha_src, Tensor alpha_dst, Tensor? alpha_edge"
_OPTIONS = "float negative_slope, float dropout_p, SymInt seed"

GAT_AGGREGATE = Op(
    "gat_aggregate",
    f"({ORDERED_GRAPH_SCHEMA}, {_VALUES}, {_OPTIONS}, bool keep_positive) -> (Tensor, Tensor, Tensor, Tensor)",
    reference=reference.gat_aggregate,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton="graphkern.ops.gat_aggregate.triton:gat_aggregate",
)
GAT_AGGREGATE_BACKWARD = Op(
    "gat_aggregate_backward",
    f"(Tensor grad, {ORDERED_GRAPH_GRADIENT_SCHEMA}, {_VALUES}, Tensor out, Tensor lse, Tensor positive_out,"
    f" Tensor positive_total, {_OPTIONS}) -> (Tensor, Tensor, Tensor, Tensor)",
    reference=reference.gat_aggregate_backward,
    fake=_fake_backward,
    triton="graphkern.ops.gat_aggregate.triton:gat_aggregate_backward",
)
