from __future__ import annotations

import functools
from collections.abc import Iterator

import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton
from graphkern.ops import _triton_attention as ta
from graphkern.ops._dtype import accumulate_dtype


# x: [M, H, DEPTH], alpha_src: [M, H], alpha_dst: [N, H], alpha_edge: [E, H] or None.
@ta.jit
def gat_kernel(
    indptr, indices, x, alpha_src, alpha_dst, alpha_edge, out, lse, total_out, first, num_rows, num_edges, heads,
    slope: tl.float64, threshold: tl.int64, factor: tl.float64, seed: tl.int64, DROPOUT: tl.constexpr,
    PIECES: tl.constexpr, ACC: tl.constexpr, DEPTH: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr, positive_out=None, positive_total=None,
):  # fmt: skip
    block = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, owner, head, begin, degree, real = ta.span(indptr, block, num_rows, num_edges, heads, PIECES, PIECE, BLOCK_N)
    slope = tl.full((1,), slope, ACC)
    own = tl.load(alpha_dst + owner, mask=real, other=0.0).to(ACC)
    best, total, acc = ta.softmax_sums(ACC, BLOCK_N, BLOCK_E, BLOCK_F)
    positive, positive_acc = total, acc
    for start in range(0, tl.max(degree), BLOCK_E):
        valid, position, entry = ta.edges_at(indices, begin, degree, start, head, heads, BLOCK_E)
        value = ta.gather(x, entry, valid, ACC, DEPTH, BLOCK_F)
        score = own[:, None] + tl.load(alpha_src + entry, mask=valid, other=0.0).to(ACC)
        if alpha_edge is not None:
            score += tl.load(alpha_edge + position * heads + head[:, None], mask=valid, other=0.0).to(ACC)
        rises = score > 0
        score = tl.where(valid, tl.where(rises, score, score * slope), float("-inf"))
        best, shrink, weight = ta.raise_maximum(best, score)
        kept = weight
        if DROPOUT:
            kept *= ta.keep_factor(position, head, seed, threshold, factor, ACC)
        total = total * shrink + weight
        acc = acc * shrink[:, :, None] + kept[:, :, None] * value
        if positive_out is not None:
            positive = positive * shrink + tl.where(rises, weight, 0.0)
            positive_acc = positive_acc * shrink[:, :, None] + tl.where(rises, kept, 0.0)[:, :, None] * value
    top, whole, share = ta.fold_lanes(best, total)
    scale = ta.store_totals(lse, total_out, pair, real, top, whole, PIECES)
    ta.store_weighted(out, pair, real, acc, share, scale, DEPTH, BLOCK_F)
    if positive_out is not None:
        tl.store(positive_total + pair, tl.sum(positive * share, axis=1) * scale, mask=real)
        ta.store_weighted(positive_out, pair, real, positive_acc, share, scale, DEPTH, BLOCK_F)


# indptr, indices, edge: of the transpose, whose rows are the M columns of the graph. stats: see stats_kernel.
@ta.jit
def gat_backward_kernel(
    indptr, indices, edge, grad, stats, x, alpha_src, alpha_edge, grad_x, grad_src, grad_edge, first, num_rows,
    num_edges, heads, slope: tl.float64, threshold: tl.int64, factor: tl.float64, seed: tl.int64,
    DROPOUT: tl.constexpr, PIECES: tl.constexpr, ACC: tl.constexpr, DEPTH: tl.constexpr, PIECE: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    block = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, owner, head, begin, degree, real = ta.span(indptr, block, num_rows, num_edges, heads, PIECES, PIECE, BLOCK_N)
    slope = tl.full((1,), slope, ACC)
    own = tl.load(alpha_src + owner, mask=real, other=0.0).to(ACC)[:, None]
    features = ta.load_own(x, owner, real, ACC, DEPTH, BLOCK_F)
    acc, change_sum = tl.zeros((BLOCK_N, BLOCK_E, BLOCK_F), ACC), tl.zeros((BLOCK_N, BLOCK_E), ACC)
    for start in range(0, tl.max(degree), BLOCK_E):
        valid, position, entry = ta.edges_at(indices, begin, degree, start, head, heads, BLOCK_E)
        position = tl.load(edge + position, mask=valid, other=0).to(tl.int64)
        keep = 1.0
        if DROPOUT:
            keep = ta.keep_factor(position, head, seed, threshold, factor, ACC)
        upstream = ta.gather(grad, entry, valid, ACC, DEPTH, BLOCK_F)
        place = stats + ta.stats_at(entry, head[:, None], 3)
        score = own + tl.load(place + 2 * heads, mask=valid, other=0.0)
        if alpha_edge is not None:
            score += tl.load(alpha_edge + position * heads + head[:, None], mask=valid, other=0.0).to(ACC)
        turn = tl.where(score > 0, 1.0, slope)
        delta = tl.load(place, mask=valid, other=0.0)
        lse = tl.load(place + heads, mask=valid, other=0.0)
        dot = tl.sum(upstream * features, axis=2)
        change, kept = ta.score_gradient(score * turn, lse, delta, dot, keep, valid)
        change *= turn
        acc += kept[:, :, None] * upstream
        change_sum += change
        if alpha_edge is not None:
            target = grad_edge + position * heads + head[:, None]
            tl.store(target, change.to(grad_edge.dtype.element_ty), mask=valid)
    ta.store_own(grad_x, pair, real, tl.sum(acc, axis=1), DEPTH, BLOCK_F)
    tl.store(grad_src + pair, tl.sum(change_sum, axis=1).to(grad_src.dtype.element_ty), mask=real)


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
    rows, heads, depth = alpha_dst.shape[0], x.shape[1], x.shape[2]
    wide, kept = accumulate_dtype(x.dtype), rows if keep_positive else 0
    outputs = {"out": _triton.empty(x, rows, heads, depth), "lse": x.new_empty(rows, heads, dtype=wide)}
    positive = {
        "positive_out": x.new_empty(kept, heads, depth, dtype=wide),
        "positive_total": x.new_empty(kept, heads, dtype=wide),
    }
    walk = ta.Walk(indptr, indices.shape[0], x)
    launch = functools.partial(
        walk.launch,
        gat_kernel,
        indices=indices,
        x=x.contiguous(),
        alpha_src=alpha_src.contiguous(),
        alpha_dst=alpha_dst.contiguous(),
        alpha_edge=None if alpha_edge is None else alpha_edge.contiguous(),
        slope=negative_slope,
        **ta.dropout(dropout_p, seed),
    )
    walk.softmax(outputs | positive if keep_positive else outputs, launch)
    return outputs["out"].to(x.dtype), outputs["lse"], positive["positive_out"], positive["positive_total"]


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
    grad, grad_dst = grad.contiguous(), _triton.empty(x, *alpha_dst.shape)
    positive = {"positive_out": positive_out, "positive_total": positive_total} if positive_out.numel() else {}
    own = {"alpha": alpha_dst.contiguous(), "grad_alpha": grad_dst, "slope": negative_slope}
    stats = ta.row_stats(grad, out, lse, **own, **positive)
    outputs = {"grad_x": _triton.empty(x, *x.shape), "grad_src": _triton.empty(x, *alpha_src.shape)}
    grad_edge = _triton.empty(x, *((0, x.shape[1]) if alpha_edge is None else alpha_edge.shape))
    walk = ta.Walk(t_indptr, t_indices.shape[0], x)
    launch = functools.partial(
        walk.launch,
        gat_backward_kernel,
        indices=t_indices,
        edge=t_edge,
        grad=grad,
        stats=stats,
        x=x.contiguous(),
        alpha_src=alpha_src.contiguous(),
        alpha_edge=None if alpha_edge is None else alpha_edge.contiguous(),
        grad_edge=grad_edge,
        slope=negative_slope,
        **ta.dropout(dropout_p, seed),
    )
    walk.sums(outputs, launch)
    grads = (outputs["grad_x"], outputs["grad_src"], grad_dst, grad_edge)
    return tuple(g.to(x.dtype) for g in grads)  # type: ignore[return-value]


def variants() -> Iterator[_triton.Variant]:
    values, sums = "x alpha_src alpha_dst alpha_edge out", "lse total_out positive_out positive_total"
    yield from ta.variants(gat_kernel, "indices", values, sums, DROPOUT=True, PIECES=False)
    none = {"alpha_edge": None, "positive_out": None, "positive_total": None}
    yield from ta.variants(gat_kernel, "indices", values, "out " + sums, DROPOUT=False, PIECES=True, **none)
    values = "grad x alpha_src alpha_edge grad_edge grad_x grad_src"
    yield from ta.variants(gat_backward_kernel, "indices edge", values, "stats", DROPOUT=True, PIECES=False)
    yield from ta.variants(ta.stats_kernel, "", "grad out alpha grad_alpha", "lse positive_out positive_total stats")
    parts = "part_out part_lse part_total part_positive_out part_positive_total"
    yield from ta.variants(ta.merge_kernel, "", "out", parts + " lse positive_out positive_total")
    yield from ta.variants(ta.add_pieces_kernel, "", "out", "sums")
