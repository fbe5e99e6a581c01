from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton
from graphkern.ops import _triton_attention as ta

# What a launch does: both passes over short rows, or over the pieces of long rows either the sums or what needs them.
ROWS, SUMS, WRITE = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


# Heads are the features of an edge here. score, out: [E, DEPTH]; top, total: [items, DEPTH], the maximum and the sum of
# exp(score - maximum) of a piece, with WRITE of its row.
@ta.jit
def softmax_kernel(
    indptr, score, out, top, total, first, num_rows, num_edges, heads, MODE: tl.constexpr, ACC: tl.constexpr,
    DEPTH: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    block = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, _owner, _head, begin, degree, real = ta.span(
        indptr, block, num_rows, num_edges, heads, MODE != ROWS, PIECE, BLOCK_N
    )
    if MODE == WRITE:
        best = ta.load_own(top, pair, real, ACC, DEPTH, BLOCK_F)
        whole = ta.load_own(total, pair, real, ACC, DEPTH, BLOCK_F)
    else:
        lanes = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), float("-inf"), ACC)
        sums = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), 0.0, ACC)
        for start in range(0, tl.max(degree), BLOCK_E):
            turn = start + tl.arange(0, BLOCK_E)
            valid, position = turn[None, :] < degree[:, None], begin[:, None] + turn[None, :]
            value = ta.gather(score, position, valid, ACC, DEPTH, BLOCK_F)
            lanes, shrink, weight = ta.raise_maximum(lanes, tl.where(valid[:, :, None], value, float("-inf")))
            sums = sums * shrink + weight
        best, whole, _share = ta.fold_lanes(lanes, sums)
        if MODE == SUMS:
            ta.store_own(top, pair, real, best, DEPTH, BLOCK_F)
            ta.store_own(total, pair, real, whole, DEPTH, BLOCK_F)
        best, whole = tl.expand_dims(best, 1), tl.expand_dims(whole, 1)
    whole = tl.where(whole == 0, 1.0, whole)
    if MODE != SUMS:
        for start in range(0, tl.max(degree), BLOCK_E):
            turn = start + tl.arange(0, BLOCK_E)
            valid, position = turn[None, :] < degree[:, None], begin[:, None] + turn[None, :]
            value = ta.gather(score, position, valid, ACC, DEPTH, BLOCK_F) - best
            value = tl.exp(tl.where(value > 0, 0.0, value)) / whole  # above 0 only where there is no edge
            ta.scatter(out, position, valid, value, DEPTH, BLOCK_F)


# grad, weight, out: [E, DEPTH]; total: [items, DEPTH], the sum of weight * grad of a piece, with WRITE of its row.
@ta.jit
def softmax_backward_kernel(
    indptr, grad, weight, out, total, first, num_rows, num_edges, heads, MODE: tl.constexpr, ACC: tl.constexpr,
    DEPTH: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    block = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, _owner, _head, begin, degree, real = ta.span(
        indptr, block, num_rows, num_edges, heads, MODE != ROWS, PIECE, BLOCK_N
    )
    if MODE == WRITE:
        whole = ta.load_own(total, pair, real, ACC, DEPTH, BLOCK_F)
    else:
        sums = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), 0.0, ACC)
        for start in range(0, tl.max(degree), BLOCK_E):
            turn = start + tl.arange(0, BLOCK_E)
            valid, position = turn[None, :] < degree[:, None], begin[:, None] + turn[None, :]
            upstream = ta.gather(grad, position, valid, ACC, DEPTH, BLOCK_F)
            sums += upstream * ta.gather(weight, position, valid, ACC, DEPTH, BLOCK_F)
        whole = tl.sum(sums, axis=1)
        if MODE == SUMS:
            ta.store_own(total, pair, real, whole, DEPTH, BLOCK_F)
        whole = tl.expand_dims(whole, 1)
    if MODE != SUMS:
        for start in range(0, tl.max(degree), BLOCK_E):
            turn = start + tl.arange(0, BLOCK_E)
            valid, position = turn[None, :] < degree[:, None], begin[:, None] + turn[None, :]
            change = ta.gather(grad, position, valid, ACC, DEPTH, BLOCK_F) - whole
            change *= ta.gather(weight, position, valid, ACC, DEPTH, BLOCK_F)
            ta.scatter(out, position, valid, change, DEPTH, BLOCK_F)


# part_top, part_total: [items, DEPTH] of each piece; top, total: of its row, written for every piece. Without part_top
# plain sums.
@ta.jit
def merge_totals_kernel(
    indptr, part_top, part_total, top, total, first, num_rows, num_edges, heads, ACC: tl.constexpr,
    DEPTH: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    block = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, _owner, count = ta.pieces(indptr, block, num_rows, num_edges, heads, PIECE, BLOCK_N)
    best = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), 0.0 if part_top is None else float("-inf"), ACC)
    sums = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), 0.0, ACC)
    for start in range(0, tl.max(count), BLOCK_E):
        turn = start + tl.arange(0, BLOCK_E)
        valid, entry = turn[None, :] < count[:, None], pair[:, None] + turn[None, :]
        value = ta.gather(part_total, entry, valid, ACC, DEPTH, BLOCK_F)
        if part_top is not None:
            score = ta.gather(part_top, entry, valid, ACC, DEPTH, BLOCK_F)
            best, shrink, weight = ta.raise_maximum(best, tl.where(valid[:, :, None], score, float("-inf")))
            sums, value = sums * shrink, value * weight
        sums += value
    highest, whole, _share = ta.fold_lanes(best, sums)
    for start in range(0, tl.max(count), BLOCK_E):
        turn = start + tl.arange(0, BLOCK_E)
        valid, entry = turn[None, :] < count[:, None], pair[:, None] + turn[None, :]
        ta.scatter(total, entry, valid, tl.broadcast_to(tl.expand_dims(whole, 1), sums.shape), DEPTH, BLOCK_F)
        if part_top is not None:
            ta.scatter(top, entry, valid, tl.broadcast_to(tl.expand_dims(highest, 1), sums.shape), DEPTH, BLOCK_F)


def _run(kernel: Any, indptr: Tensor, names: tuple[str, ...], **edges: Tensor) -> Tensor:
    """edges: [E, H], what the kernel reads of each edge; names: its sums of each piece."""
    like = next(iter(edges.values()))
    out = _triton.empty(like, *like.shape)
    if not like.shape[1]:
        return out.to(like.dtype)
    walk = ta.Walk(indptr, like.shape[0], like[:, None])
    arguments = edges | {"out": out}
    walk.launch(kernel, walk.num_rows, MODE=ROWS.value, **arguments, **dict.fromkeys(names, out))
    if walk.num_pieces:
        parts = {name: walk.parts(walk.depth) for name in names}
        merged = {name: walk.parts(walk.depth) for name in names}
        walk.launch(kernel, walk.num_pieces, MODE=SUMS.value, **arguments, **parts)
        from_parts = {"top": None, "part_top": None} | merged | {f"part_{name}": part for name, part in parts.items()}
        walk.launch(merge_totals_kernel, walk.num_pieces, **from_parts)
        walk.launch(kernel, walk.num_pieces, MODE=WRITE.value, **arguments, **merged)
    return out.to(like.dtype)


def edge_softmax(indptr: Tensor, score: Tensor) -> Tensor:
    return _run(softmax_kernel, indptr, ("top", "total"), score=score.contiguous())


def edge_softmax_backward(indptr: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    return _run(softmax_backward_kernel, indptr, ("total",), grad=grad.contiguous(), weight=weight.contiguous())


def variants() -> Iterator[_triton.Variant]:
    for kernel, values, sums in (
        (softmax_kernel, "score out", "top total"),
        (softmax_backward_kernel, "grad weight out", "total"),
    ):
        yield from ta.variants(kernel, "", values, sums, depth=4, MODE=ROWS.value)
        yield from ta.variants(kernel, "", values, sums, MODE=WRITE.value)
    yield from ta.variants(merge_totals_kernel, "", "", "part_top part_total top total")
