"""Graph attention with scores from the sum of source and destination features (GATv2)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR, ORDERED_GRAPH_GRADIENT_SCHEMA, ORDERED_GRAPH_SCHEMA
from graphkern.ops import _attention, _check
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.gatv2_aggregate import reference


def gatv2_aggregate(
    adj: CSR,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    negative_slope: float = 0.2,
    dropout_p: float = 0.0,
    seed: int = 0,
) -> Tensor:
    """Sum the neighbors' features by attention weights that depend on the features of both ends.

    score[e, h] = sum over d of att[h, d] * leaky_relu(x_src[indices[e], h, d] + x_dst[i, h, d]) for edge e of row i
    out[i, h] = sum over edges e of row i of dropout(softmax over the row of score)[e, h] * x_src[indices[e], h]

    Args:
        adj: N x M, E edges.
        x_src: [M, H, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        x_dst: [N, H, D], att: [H, D]; same dtype.
        negative_slope: of the leaky ReLU.
        dropout_p: in [0, 1); so many of the weights are dropped after the softmax, the others scale by 1 / (1 - p).
        seed: any int64; which weights are dropped is a function of (seed, edge, head) alone.
    Returns: [N, H, D], dtype of x_src; a row without edges gives 0.
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape or device, dropout_p or seed.
    Cost: one pass reads E H D + N H D values, writes N H D and keeps a log-sum-exp [N, H]. The gradient is one pass
        over adj (E H D values) and one over adj.t() (2 E H D). Nothing of the size of E is stored. Differentiable
        once, in x_src, x_dst and att.
    Source: Brody et al. 2022, eq. 7 (arXiv:2105.14491).
    """
    _attention.check_heads(adj, x_src=x_src, x_dst=x_dst, att=att)
    heads, depth = x_src.shape[1:]
    _attention.check_shape(x_src, "x_src", adj.num_cols, heads, depth)
    _attention.check_shape(x_dst, "x_dst", adj.num_rows, heads, depth)
    _attention.check_shape(att, "att", heads, depth)
    _attention.check_dropout(dropout_p, seed)
    needs_grad = _check.needs_gradient(x_src, x_dst, att)
    arguments = (*adj.ordered_tensors(needs_grad), x_src, x_dst, att)
    return GATV2_AGGREGATE.known(needs_grad)(*arguments, float(negative_slope), float(dropout_p), seed)[0]


def _fake(
    indptr, indices, t_indptr, t_indices, t_edge, x_src: Tensor, x_dst: Tensor, att, negative_slope, dropout_p, seed
):
    return x_src.new_empty(x_dst.shape), x_src.new_empty(x_dst.shape[:2], dtype=accumulate_dtype(x_src.dtype))


def _fake_backward(
    grad, indptr, indices, t_indptr, t_indices, t_edge, x_src: Tensor, x_dst: Tensor, att: Tensor, out, lse,
    negative_slope, dropout_p, seed,
):  # fmt: skip
    return x_src.new_empty(x_src.shape), x_src.new_empty(x_dst.shape), x_src.new_empty(att.shape)


def _setup(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.negative_slope, ctx.dropout_p, ctx.seed = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx: Any, grad: Tensor, _grad_lse: Tensor) -> tuple:
    grads = GATV2_AGGREGATE_BACKWARD(grad, *ctx.saved_tensors, ctx.negative_slope, ctx.dropout_p, ctx.seed)
    return None, None, None, None, None, *grads, None, None, None


_VALUES = "Tensor x_src, Tensor x_dst, Tensor att"
_OPTIONS = "float negative_slope, float dropout_p, SymInt seed"

GATV2_AGGREGATE = Op(
    "gatv2_aggregate",
    f"({ORDERED_GRAPH_SCHEMA}, {_VALUES}, {_OPTIONS}) -> (Tensor, Tensor)",
    reference=reference.gatv2_aggregate,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton="graphkern.ops.gatv2_aggregate.triton:gatv2_aggregate",
)
GATV2_AGGREGATE_BACKWARD = Op(
    "gatv2_aggregate_backward",
    f"(Tensor grad, {ORDERED_GRAPH_GRADIENT_SCHEMA}, {_VALUES}, Tensor out, Tensor lse, {_OPTIONS})"
    " -> (Tensor, Tensor, Tensor)",
    reference=reference.gatv2_aggregate_backward,
    fake=_fake_backward,
    triton="graphkern.ops.gatv2_aggregate.triton:gatv2_aggregate_backward",
)
