"""Sparse-dense product: sum, mean, max or min of the neighbors' features."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR, GRAPH_SCHEMA
from graphkern.ops import _check
from graphkern.ops.sddmm import SDDMM
from graphkern.ops.spmm.reference import spmm as reference
from graphkern.ops.spmm_extremum import SPMM_EXTREMUM


def spmm(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Tensor:
    """Reduce the features of each row's neighbors, optionally weighted per edge.

    out[i] = reduce over edges e of row i of weight[e] * x[indices[e]]; a row without edges gives 0.

    Args:
        adj: N x M, E edges.
        x: [M, F] or [M, H, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        weight: [E] in CSR order, or [E, H] with x [M, H, D]; same dtype as x.
        reduce: "sum", "mean" (divides by the number of edges), "max" or "min". NaN wins a max or min, the first of
            equal edges takes the gradient.
    Returns: [N, F] or [N, H, D], dtype of x.
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape, device or reduce.
    Cost: reads E F features, E indices and E H weights, writes N F values (max and min with a gradient: N F indices
        more). No other memory but for rows of over 1024 edges: F accumulators for each 1024. The gradient of sum and
        mean for x is the same product on adj.t(); that of max and min takes N F additions. Differentiable twice in x
        and weight.
    """
    _check.is_csr(adj)
    if weight is None:
        _check.floating(x=x)
    else:
        _check.floating(x=x, weight=weight)
    _check.same_device(adj, x, "x")
    if x.dim() not in (2, 3) or x.shape[0] != adj.num_cols:
        raise ValueError(f"x must be [{adj.num_cols}, F] or [{adj.num_cols}, H, D] but is {list(x.shape)}")
    _check.reduce_name(reduce)
    flat = x if x.dim() == 2 else x.flatten(1)
    needs_grad = _check.needs_gradient(x, weight)
    if weight is not None:
        weight = _weight_by_head(adj, x, weight)
    if reduce in ("sum", "mean"):
        out = SPMM.known(needs_grad)(*adj.tensors(needs_grad), flat, weight, reduce)
    else:
        graph = adj.ordered_tensors(needs_grad)
        out, _arg = SPMM_EXTREMUM.known(needs_grad)(*graph, flat, weight, reduce, needs_grad)
    return out if x.dim() == 2 else out.view(adj.num_rows, *x.shape[1:])


def _weight_by_head(adj: CSR, x: Tensor, weight: Tensor) -> Tensor:
    if weight.dim() not in (1, 2) or weight.shape[0] != adj.num_edges:
        raise ValueError(
            f"weight has {weight.shape[0] if weight.dim() else 'no'} rows but adj has {adj.num_edges} edges"
        )
    if weight.dim() == 1:
        return weight[:, None]
    if x.dim() != 3 or weight.shape[1] != x.shape[1]:
        raise ValueError(f"weight {list(weight.shape)} needs x of [M, {weight.shape[1]}, D] but x is {list(x.shape)}")
    return weight


def _fake(indptr: Tensor, indices: Tensor, edge, t_indptr, t_indices, t_edge, x: Tensor, weight, reduce) -> Tensor:
    return x.new_empty(indptr.shape[0] - 1, x.shape[1])


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *graph, x, weight, ctx.reduce = inputs
    ctx.heads = 1 if weight is None else weight.shape[1]
    keep_x = x if weight is not None and weight.requires_grad else None
    ctx.save_for_backward(*graph, keep_x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    indptr, indices, edge, t_indptr, t_indices, t_edge, x, weight = ctx.saved_tensors
    if ctx.reduce == "mean":
        grad = grad / (indptr[1:] - indptr[:-1]).clamp(min=1)[:, None].to(grad.dtype)
    graph, transpose = (indptr, indices, edge), (t_indptr, t_indices, t_edge)
    grad_x = grad_weight = None
    if ctx.needs_input_grad[6]:
        grad_x = SPMM(*transpose, *graph, grad, weight, "sum")
    if ctx.needs_input_grad[7]:
        grad_weight = SDDMM(*graph, *transpose, grad, x, ctx.heads)
    return None, None, None, None, None, None, grad_x, grad_weight, None


SPMM = Op(
    "spmm",
    f"({GRAPH_SCHEMA}, Tensor x, Tensor? weight, str reduce) -> Tensor",
    reference=reference,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton="graphkern.ops.spmm.triton:spmm",
)
