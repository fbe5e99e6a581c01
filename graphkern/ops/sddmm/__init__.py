"""Sampled dense-dense product: one dot product an edge."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphkern._op import OPS, Op
from graphkern.csr import CSR, GRAPH_SCHEMA
from graphkern.ops import _check
from graphkern.ops.sddmm.reference import sddmm as reference


def sddmm(adj: CSR, q: Tensor, k: Tensor) -> Tensor:
    """Dot products of row and column features along the edges.

    out[e, h] = sum over d of q[row(e), h, d] * k[indices[e], h, d]

    Args:
        adj: N x M, E edges.
        q: [N, F] or [N, H, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        k: [M, F] or [M, H, D], same dtype.
    Returns: [E] or [E, H] in CSR order, dtype of q.
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape or device.
    Cost: reads N F + E F features and E indices, writes E H values; no other memory. Differentiable twice.
    """
    _check.is_csr(adj)
    _check.floating(q=q, k=k)
    _check.same_device(adj, q, "q")
    if q.dim() not in (2, 3) or q.shape[0] != adj.num_rows:
        raise ValueError(f"q must be [{adj.num_rows}, F] or [{adj.num_rows}, H, D] but is {list(q.shape)}")
    if k.shape != (adj.num_cols, *q.shape[1:]):
        raise ValueError(f"k must be {[adj.num_cols, *q.shape[1:]]} but is {list(k.shape)}")
    if 0 in q.shape[1:]:
        raise ValueError(f"q must have at least one feature but is {list(q.shape)}")
    needs_grad = _check.needs_gradient(q, k)
    call = SDDMM.known(needs_grad)
    if q.dim() == 2:
        return call(*adj.tensors(needs_grad), q, k, 1).squeeze(1)
    return call(*adj.tensors(needs_grad), q.flatten(1), k.flatten(1), q.shape[1])


def _fake(indptr, indices: Tensor, edge, t_indptr, t_indices, t_edge, q: Tensor, k: Tensor, heads: int) -> Tensor:
    return q.new_empty(indices.shape[0], heads)


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, _heads = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    *halves, q, k = ctx.saved_tensors
    graph, transpose = halves[:3], halves[3:]
    spmm = OPS["spmm"]
    grad_q = spmm(*graph, *transpose, k, grad, "sum") if ctx.needs_input_grad[6] else None
    grad_k = spmm(*transpose, *graph, q, grad, "sum") if ctx.needs_input_grad[7] else None
    return None, None, None, None, None, None, grad_q, grad_k, None


SDDMM = Op(
    "sddmm",
    f"({GRAPH_SCHEMA}, Tensor q, Tensor k, int heads) -> Tensor",
    reference=reference,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton="graphkern.ops.sddmm.triton:sddmm",
)
