"""Dot-product attention along the edges of a graph (graph transformer)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR, ORDERED_GRAPH_GRADIENT_SCHEMA, ORDERED_GRAPH_SCHEMA
from graphkern.ops import _attention, _check
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.attention_aggregate import reference


def attention_aggregate(
    adj: CSR,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """Sum the neighbors' values by softmax weights of query-key dot products.

    score[e, h] = scale * (q[i, h] . k[indices[e], h]) for edge e of row i
    out[i, h] = sum over edges e of row i of dropout(softmax over the row of score)[e, h] * v[indices[e], h]

    Args:
        adj: N x M, E edges.
        q: [N, H, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        k, v: [M, H, D], same dtype.
        scale: a number; None is 1 / sqrt(D).
        dropout_p: in [0, 1); so many of the weights are dropped after the softmax, the others scale by 1 / (1 - p).
        seed: any int64; which weights are dropped is a function of (seed, edge, head) alone.
    Returns: [N, H, D], dtype of q; a row without edges gives 0.
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape or device, dropout_p or seed.
    Cost: one pass reads 2 E H D + N H D values, writes N H D and keeps a log-sum-exp [N, H]. The gradient is one pass
        over adj and one over adj.t(), 2 E H D values each. Nothing of the size of E is stored. Differentiable once,
        in q, k and v.
    Source: Vaswani et al. 2017, eq. 1 (arXiv:1706.03762); on graphs: Shi et al. 2021, eq. 3-4 (arXiv:2009.03509).
    """
    _attention.check_heads(adj, q=q, k=k, v=v)
    heads, depth = q.shape[1:]
    _attention.check_shape(q, "q", adj.num_rows, heads, depth)
    _attention.check_shape(k, "k", adj.num_cols, heads, depth)
    _attention.check_shape(v, "v", adj.num_cols, heads, depth)
    _attention.check_dropout(dropout_p, seed)
    factor = depth**-0.5 if scale is None else float(scale)
    needs_grad = _check.needs_gradient(q, k, v)
    graph = adj.ordered_tensors(needs_grad)
    return ATTENTION_AGGREGATE.known(needs_grad)(*graph, q, k, v, factor, float(dropout_p), seed)[0]


def _fake(indptr, indices, t_indptr, t_indices, t_edge, q: Tensor, k, v, scale, dropout_p, seed):
    return q.new_empty(q.shape), q.new_empty(q.shape[:2], dtype=accumulate_dtype(q.dtype))


def _fake_backward(
    grad, indptr, indices, t_indptr, t_indices, t_edge, q: Tensor, k: Tensor, v: Tensor, out, lse, scale, dropout_p,
    seed,
):  # fmt: skip
    return q.new_empty(q.shape), q.new_empty(k.shape), q.new_empty(v.shape)


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.scale, ctx.dropout_p, ctx.seed = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx: Any, grad: Tensor, _grad_lse: Tensor) -> tuple:
    grads = ATTENTION_AGGREGATE_BACKWARD(grad, *ctx.saved_tensors, ctx.scale, ctx.dropout_p, ctx.seed)
    return None, None, None, None, None, *grads, None, None, None


_VALUES = "Tensor q, Tensor k, Tensor v"
_OPTIONS = "float scale, float dropout_p, SymInt seed"

ATTENTION_AGGREGATE = Op(
    "attention_aggregate",
    f"({ORDERED_GRAPH_SCHEMA}, {_VALUES}, {_OPTIONS}) -> (Tensor, Tensor)",
    reference=reference.attention_aggregate,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton="graphkern.ops.attention_aggregate.triton:attention_aggregate",
)
ATTENTION_AGGREGATE_BACKWARD = Op(
    "attention_aggregate_backward",
    f"(Tensor grad, {ORDERED_GRAPH_GRADIENT_SCHEMA}, {_VALUES}, Tensor out, Tensor lse, {_OPTIONS})"
    " -> (Tensor, Tensor, Tensor)",
    reference=reference.attention_aggregate_backward,
    fake=_fake_backward,
    triton="graphkern.ops.attention_aggregate.triton:attention_aggregate_backward",
)
