"""Softmax of edge scores over each row's edges."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check
from graphkern.ops.edge_softmax import reference


def edge_softmax(adj: CSR, score: Tensor) -> Tensor:
    """Normalise edge scores over each row's neighbors.

    out[e, h] = exp(score[e, h]) / sum over e' of the same row of exp(score[e', h])

    Args:
        adj: N x M, E edges.
        score: [E] or [E, H] in CSR order; float32, float64, float16 or bfloat16 (halves accumulate in float32).
    Returns: shape and dtype of score.
    Raises: TypeError if score is not floating; ValueError for a wrong shape or device.
    Cost: reads 2 E H and writes E H values; no other memory. Differentiable twice.
    Source: Velickovic et al. 2018, eq. 3 (arXiv:1710.10903).
    """
    _check.is_csr(adj)
    _check.floating(score=score)
    _check.same_device(adj, score, "score")
    if score.dim() not in (1, 2) or score.shape[0] != adj.num_edges:
        raise ValueError(f"score must be [{adj.num_edges}] or [{adj.num_edges}, H] but is {list(score.shape)}")
    if score.dim() == 1:
        return EDGE_SOFTMAX(adj.indptr, score[:, None])[:, 0]
    return EDGE_SOFTMAX(adj.indptr, score)


def _fake(indptr: Tensor, score: Tensor) -> Tensor:
    return torch.empty_like(score, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], output)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    indptr, weight = ctx.saved_tensors
    return None, EDGE_SOFTMAX_BACKWARD(indptr, grad, weight)


def _fake_backward(indptr: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    return torch.empty_like(weight, memory_format=torch.contiguous_format)


def _setup_backward(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _row_sum(indptr: Tensor, values: Tensor) -> Tensor:
    """At each edge the sum of values [E, H] over its row."""
    return values - EDGE_SOFTMAX_BACKWARD(indptr, values, torch.ones_like(values))


def _backward_backward(ctx: Any, outer: Tensor) -> tuple:
    indptr, grad, weight = ctx.saved_tensors
    grad_grad = grad_weight = None
    if ctx.needs_input_grad[1]:
        grad_grad = EDGE_SOFTMAX_BACKWARD(indptr, outer, weight)
    if ctx.needs_input_grad[2]:
        mean = _row_sum(indptr, grad * weight)
        grad_weight = outer * (grad - mean) - grad * _row_sum(indptr, outer * weight)
    return None, grad_grad, grad_weight


EDGE_SOFTMAX = Op(
    "edge_softmax",
    "(Tensor indptr, Tensor score) -> Tensor",
    reference=reference.edge_softmax,
    fake=_fake,
    backward=_backward,
    setup_context=_setup,
    triton="graphkern.ops.edge_softmax.triton:edge_softmax",
)
EDGE_SOFTMAX_BACKWARD = Op(
    "edge_softmax_backward",
    "(Tensor indptr, Tensor grad, Tensor weight) -> Tensor",
    reference=reference.edge_softmax_backward,
    fake=_fake_backward,
    backward=_backward_backward,
    setup_context=_setup_backward,
    triton="graphkern.ops.edge_softmax.triton:edge_softmax_backward",
)
