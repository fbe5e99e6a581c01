"""Triton kernels of attention whose scores depend on the features of both ends: dot products, or GATv2's."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton
from graphkern.ops import _triton_attention as ta
from graphkern.ops._dtype import accumulate_dtype


# own: queries or x_dst [N, H, DEPTH]; keys, values: [M, H, DEPTH], with att [H, DEPTH] both are x_src. number: the
# negative slope with att, else the scale of the dot products.
@ta.jit
def pair_kernel(
    indptr, indices, own, keys, values, att, out, lse, total_out, first, num_rows, num_edges, heads,
    number: tl.float64, threshold: tl.int64, factor: tl.float64, seed: tl.int64, DROPOUT: tl.constexpr,
    PIECES: tl.constexpr, ACC: tl.constexpr, DEPTH: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    block = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, owner, head, begin, degree, real = ta.span(indptr, block, num_rows, num_edges, heads, PIECES, PIECE, BLOCK_N)
    number = tl.full((1,), number, ACC)
    mine = ta.load_own(own, owner, real, ACC, DEPTH, BLOCK_F)
    if att is not None:
        direction = ta.load_own(att, head, real, ACC, DEPTH, BLOCK_F)
    best, total, acc = ta.softmax_sums(ACC, BLOCK_N, BLOCK_E, BLOCK_F)
    for start in range(0, tl.max(degree), BLOCK_E):
        valid, position, entry = ta.edges_at(indices, begin, degree, start, head, heads, BLOCK_E)
        value = ta.gather(values, entry, valid, ACC, DEPTH, BLOCK_F)
        if att is not None:
            z = mine + value
            score = tl.sum(direction * tl.where(z > 0, z, z * number), axis=2)
        else:
            score = tl.sum(mine * ta.gather(keys, entry, valid, ACC, DEPTH, BLOCK_F), axis=2) * number
        best, shrink, weight = ta.raise_maximum(best, tl.where(valid, score, float("-inf")))
        total = total * shrink + weight
        if DROPOUT:
            weight *= ta.keep_factor(position, head, seed, threshold, factor, ACC)
        acc = acc * shrink[:, :, None] + weight[:, :, None] * value
    top, whole, share = ta.fold_lanes(best, total)
    scale = ta.store_totals(lse, total_out, pair, real, top, whole, PIECES)
    ta.store_weighted(out, pair, real, acc, share, scale, DEPTH, BLOCK_F)


# One block of a pass over the rows of the graph, or with `edge` over those of its transpose. Of each end two tensors
# count, a and b: the score is of own_a and other_a, the gradient of an edge's weight is the product of own_b and
# other_b. With att both tensors of a column are x_src, and its gradient is the first result alone.
@triton.jit
def pair_gradients(
    block, indptr, indices, edge, own_a, own_b, other_a, other_b, att, stats, num_rows, num_edges, heads, number,
    threshold, factor, seed, DROPOUT: tl.constexpr, PIECES: tl.constexpr, ACC: tl.constexpr, DEPTH: tl.constexpr,
    PIECE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    """Pairs from `block` on, whether they have their turn, gradients [N, BLOCK_F] of own_a, own_b (with `edge`), att"""
    pair, owner, head, begin, degree, real = ta.span(indptr, block, num_rows, num_edges, heads, PIECES, PIECE, BLOCK_N)
    number = tl.full((1,), number, ACC)
    a = ta.load_own(own_a, owner, real, ACC, DEPTH, BLOCK_F)
    b = ta.load_own(own_b, owner, real, ACC, DEPTH, BLOCK_F)
    if att is not None:
        direction = ta.load_own(att, head, real, ACC, DEPTH, BLOCK_F)
    if edge is None:
        place = stats + ta.stats_at(owner, head, 2)
        delta = tl.load(place, mask=real, other=0.0)[:, None]
        lse = tl.load(place + heads, mask=real, other=0.0)[:, None]
    sum_a = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), 0.0, ACC)
    sum_b = sum_a
    for start in range(0, tl.max(degree), BLOCK_E):
        valid, position, entry = ta.edges_at(indices, begin, degree, start, head, heads, BLOCK_E)
        keep = 1.0
        if DROPOUT:
            if edge is not None:
                position = tl.load(edge + position, mask=valid, other=0).to(tl.int64)
            keep = ta.keep_factor(position, head, seed, threshold, factor, ACC)
        other = ta.gather(other_a, entry, valid, ACC, DEPTH, BLOCK_F)
        upstream = other
        if att is None or edge is not None:
            upstream = ta.gather(other_b, entry, valid, ACC, DEPTH, BLOCK_F)
        if edge is not None:
            place = stats + ta.stats_at(entry, head[:, None], 2)
            delta = tl.load(place, mask=valid, other=0.0)
            lse = tl.load(place + heads, mask=valid, other=0.0)
        if att is not None:
            z = a + other
            other = tl.where(z > 0, 1.0, number)
            score = tl.sum(direction * z * other, axis=2)
        else:
            score = tl.sum(a * other, axis=2) * number
        dot = tl.sum(b * upstream, axis=2)
        change, kept = ta.score_gradient(score, lse, delta, dot, keep, valid)
        sum_a += change[:, :, None] * other
        if edge is not None:
            sum_b += kept[:, :, None] * upstream
    grad, grad_b = tl.sum(sum_a, axis=1), tl.sum(sum_b, axis=1)
    part = grad
    if att is None:
        grad *= number
    else:
        part = grad * tl.reshape(a, grad.shape)
        grad = grad * tl.reshape(direction, grad.shape) + grad_b
    return pair, real, grad, grad_b, part


def pair_forward(
    indptr: Tensor,
    indices: Tensor,
    own: Tensor,
    keys: Tensor,
    values: Tensor,
    att: Tensor | None,
    number: float,
    dropout_p: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """out [N, H, D] and lse [N, H]; own: [N, H, D], keys, values: [M, H, D], att: [H, D]."""
    wide = accumulate_dtype(own.dtype)
    outputs = {"out": _triton.empty(own, *own.shape), "lse": own.new_empty(own.shape[:2], dtype=wide)}
    walk = ta.Walk(indptr, indices.shape[0], own)
    arguments: dict[str, Any] = {
        "indices": indices,
        "own": own,
        "keys": keys,
        "values": values,
        "att": att,
        "number": number,
    }
    walk.softmax(outputs, functools.partial(walk.launch, pair_kernel, **arguments, **ta.dropout(dropout_p, seed)))
    return outputs["out"].to(own.dtype), outputs["lse"]


def pair_variants(backward_kernel: Any, has_att: bool) -> Iterator[_triton.Variant]:
    flags = {"DROPOUT": True, "PIECES": False} | ({} if has_att else {"att": None})
    yield from ta.variants(pair_kernel, "indices", "own keys values att out", "lse total_out", **flags)
    values, sums = "own_a own_b other_a other_b att grad_a grad_b", "stats att_sums"
    yield from ta.variants(backward_kernel, "indices edge", values, sums, **flags)
    yield from ta.variants(backward_kernel, "indices", values, sums, edge=None, grad_b=None, **flags)
