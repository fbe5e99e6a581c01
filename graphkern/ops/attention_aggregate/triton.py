from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton
from graphkern.ops import _triton_attention as ta
from graphkern.ops import _triton_pair_attention as tp


# See pair_gradients; grad_b is not written without `edge`.
@ta.jit
def attention_backward_kernel(
    indptr, indices, edge, own_a, own_b, other_a, other_b, stats, grad_a, first, num_rows, num_edges, heads,
    scale: tl.float64, threshold: tl.int64, factor: tl.float64, seed: tl.int64, DROPOUT: tl.constexpr,
    PIECES: tl.constexpr, ACC: tl.constexpr, DEPTH: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr, grad_b=None,
):  # fmt: skip
    block = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, real, gradient, gradient_b, _ = tp.pair_gradients(
        block, indptr, indices, edge, own_a, own_b, other_a, other_b, None, stats, num_rows, num_edges, heads, scale,
        threshold, factor, seed, DROPOUT, PIECES, ACC, DEPTH, PIECE, BLOCK_N, BLOCK_E, BLOCK_F,
    )  # fmt: skip
    ta.store_own(grad_a, pair, real, gradient, DEPTH, BLOCK_F)
    if grad_b is not None:
        ta.store_own(grad_b, pair, real, gradient_b, DEPTH, BLOCK_F)


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
    features = (q.contiguous(), k.contiguous(), v.contiguous())
    return tp.pair_forward(indptr, indices, *features, None, scale, dropout_p, seed)


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
    g, q, k, v = grad.contiguous(), q.contiguous(), k.contiguous(), v.contiguous()
    grad_q, grad_k, grad_v = (_triton.empty(t, *t.shape) for t in (q, k, v))
    common: dict[str, Any] = {"stats": ta.row_stats(g, out, lse), "scale": scale} | ta.dropout(dropout_p, seed)
    for bounds, graph, own, other, outputs in (
        (indptr, (indices, None), (q, g), (k, v), {"grad_a": grad_q}),
        (t_indptr, (t_indices, t_edge), (k, v), (q, g), {"grad_a": grad_k, "grad_b": grad_v}),
    ):
        walk = ta.Walk(bounds, indices.shape[0], q)
        names = ("indices", "edge", "own_a", "own_b", "other_a", "other_b")
        arguments: dict[str, Any] = dict(zip(names, (*graph, *own, *other), strict=True))
        walk.sums(outputs, functools.partial(walk.launch, attention_backward_kernel, **arguments, **common))
    return grad_q.to(q.dtype), grad_k.to(q.dtype), grad_v.to(q.dtype)


def variants() -> Iterator[_triton.Variant]:
    yield from tp.pair_variants(attention_backward_kernel, False)
