"""What the Triton kernels over the edges of a row and head share: long rows in pieces, dropout, the softmax.

A kernel holds BLOCK_N (row, head) pairs x BLOCK_E edges of each x BLOCK_F features of a head at a time. Lane (n, e, f)
takes every BLOCK_E-th edge of its pair; the lanes of a pair are put together last. A row with more than PIECE edges is
left to a second launch, where an item is not a row but a piece of a long one: of the row that holds edge PIECE * i, the
edges from there (from its first edge, if no earlier piece is in the row) to edge PIECE * (i + 1) or its end. A third
launch puts the pieces of a row together, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton
from graphkern.ops._attention import DROPOUT_STREAM
from graphkern.ops._dtype import accumulate_dtype

PIECE = 512  # edges
_STREAM = tl.constexpr(DROPOUT_STREAM)
_VARYING = ["first", "num_rows", "num_edges", "seed", "threshold", "num_pairs"]  # no compilation for their values
jit = triton.jit(do_not_specialize=_VARYING)


@triton.jit
def long_row(indptr, item, num_rows, num_edges, PIECE: tl.constexpr):
    """Number, first edge and end of the row that holds edge PIECE * item; whether there is one and it is long."""
    edge = item * PIECE
    row = tl.zeros_like(edge)
    size = num_rows.to(tl.int64)
    while size > 1:
        half = size // 2
        middle = row + half
        row = tl.where(tl.load(indptr + middle) <= edge, middle, row)
        size -= half
    begin, end = tl.load(indptr + row).to(tl.int64), tl.load(indptr + row + 1).to(tl.int64)
    return row, begin, end, (edge < num_edges) & (end - begin > PIECE)


@triton.jit
def pairs_from(start, heads, BLOCK_N: tl.constexpr):
    """[BLOCK_N] pair = item * heads + head from `start` on, item and head: one division of 64 bits."""
    lane, item = tl.arange(0, BLOCK_N), start // heads
    head = (start - item * heads).to(tl.int32) + lane
    more = head // tl.cast(heads, tl.int32)
    return start + lane, item + more, head - more * tl.cast(heads, tl.int32)


@triton.jit
def span(indptr, start, num_rows, num_edges, heads, PIECES: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr):
    """The edges of pairs: pair, row * heads + head, head, first edge, how many, and whether it has its turn.

    Items are rows, of which long ones do not have their turn, or with PIECES pieces of long rows.
    """
    pair, item, head = pairs_from(start, heads, BLOCK_N)
    if PIECES:
        row, begin, end, real = long_row(indptr, item, num_rows, num_edges, PIECE)
        begin = tl.where(begin > (item - 1) * PIECE, begin, item * PIECE)
        end = tl.minimum(end, (item + 1) * PIECE)
    else:
        row, real = item, item < num_rows
        begin = tl.load(indptr + row, mask=real, other=0).to(tl.int64)
        end = tl.load(indptr + row + 1, mask=real, other=0).to(tl.int64)
        real &= end - begin <= PIECE
    return pair, row * heads + head, head, begin, tl.where(real, end - begin, 0).to(tl.int32), real


@triton.jit
def pieces(indptr, start, num_rows, num_edges, heads, PIECE: tl.constexpr, BLOCK_N: tl.constexpr):
    """Where item is the first piece of a long row: pair, row * heads + head, how many pieces it has; else 0 pieces."""
    pair, item, head = pairs_from(start, heads, BLOCK_N)
    row, begin, end, real = long_row(indptr, item, num_rows, num_edges, PIECE)
    real &= begin > (item - 1) * PIECE
    return pair, row * heads + head, tl.where(real, (end + PIECE - 1) // PIECE - item, 0)


@triton.jit
def keep_factor(edge, head, seed, threshold, factor, ACC: tl.constexpr):
    """What dropout multiplies the weights of edge [N, E], head [N] by."""
    low, block = (edge & 0xFFFFFFFF).to(tl.uint32), (tl.zeros_like(edge) + (head // 4)[:, None]).to(tl.uint32)
    stream = tl.full(edge.shape, _STREAM, tl.uint32)
    a, b, c, d = tl.philox(seed, low, (edge >> 32).to(tl.uint32), block, stream)
    lane = (head % 4)[:, None]
    word = tl.where(lane < 2, tl.where(lane == 0, a, b), tl.where(lane == 2, c, d))
    return tl.where(word.to(tl.int64) < threshold, tl.full((1,), factor, ACC), 0.0)


@triton.jit
def edges_at(indices, begin, degree, start, head, heads, BLOCK_E: tl.constexpr):
    """[N, BLOCK_E] from edge `start` of each pair on: whether there is one, its position, and column * heads + head."""
    turn = start + tl.arange(0, BLOCK_E)
    valid, position = turn[None, :] < degree[:, None], begin[:, None] + turn[None, :]
    column = tl.load(indices + position, mask=valid, other=0).to(tl.int64)
    return valid, position, column * heads + head[:, None]


@triton.jit
def load_own(values, entry, mask, ACC: tl.constexpr, DEPTH: tl.constexpr, BLOCK_F: tl.constexpr):
    """[N, 1, BLOCK_F] rows `entry` of values [*, DEPTH]."""
    depth = tl.arange(0, BLOCK_F)[None, :]
    place = values + entry[:, None] * DEPTH + depth
    return tl.load(place, mask=mask[:, None] & (depth < DEPTH), other=0.0).to(ACC)[:, None, :]


@triton.jit
def gather(values, entry, mask, ACC: tl.constexpr, DEPTH: tl.constexpr, BLOCK_F: tl.constexpr):
    """[N, E, BLOCK_F] rows `entry` of values [*, DEPTH]."""
    depth = tl.arange(0, BLOCK_F)[None, None, :]
    place = values + entry[:, :, None] * DEPTH + depth
    return tl.load(place, mask=mask[:, :, None] & (depth < DEPTH), other=0.0).to(ACC)


@triton.jit
def scatter(values, entry, mask, result, DEPTH: tl.constexpr, BLOCK_F: tl.constexpr):
    """Stores [N, E, BLOCK_F] to rows `entry` of values [*, DEPTH]."""
    depth = tl.arange(0, BLOCK_F)[None, None, :]
    place = values + entry[:, :, None] * DEPTH + depth
    tl.store(place, result.to(values.dtype.element_ty), mask=mask[:, :, None] & (depth < DEPTH))


@triton.jit
def store_own(values, entry, mask, result, DEPTH: tl.constexpr, BLOCK_F: tl.constexpr):
    depth = tl.arange(0, BLOCK_F)[None, :]
    place = values + entry[:, None] * DEPTH + depth
    tl.store(place, result.to(values.dtype.element_ty), mask=mask[:, None] & (depth < DEPTH))


@triton.jit
def store_weighted(out, entry, mask, acc, share, scale, DEPTH: tl.constexpr, BLOCK_F: tl.constexpr):
    """The sum of the lanes acc [N, E, F], each times its share [N, E], times scale [N]."""
    store_own(out, entry, mask, tl.sum(acc * share[:, :, None], axis=1) * scale[:, None], DEPTH, BLOCK_F)


@triton.jit
def softmax_sums(ACC: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr):
    """Maximum, sum of weights and weighted sum of no edges."""
    best = tl.full((BLOCK_N, BLOCK_E), float("-inf"), ACC)
    return best, tl.full((BLOCK_N, BLOCK_E), 0.0, ACC), tl.full((BLOCK_N, BLOCK_E, BLOCK_F), 0.0, ACC)


@triton.jit
def raise_maximum(best, score):
    """The new maximum, what sums relative to `best` shrink by, and exp(score - maximum)."""
    top = tl.maximum(best, score)
    base = tl.where(top == float("-inf"), 0.0, top)
    return top, tl.exp(best - base), tl.exp(score - base)


@triton.jit
def fold_lanes(best, total):
    """[N, ...] maximum and sum of the lanes [N, E, ...], and what the sums of each lane count by."""
    top = tl.max(best, axis=1)
    base = tl.where(top == float("-inf"), 0.0, top)
    share = tl.exp(best - tl.expand_dims(base, 1))
    return top, tl.sum(total * share, axis=1), share


@triton.jit
def store_totals(lse, total_out, pair, mask, top, total, PIECES: tl.constexpr):
    """The log-sum-exp of pairs, or maximum and total of pieces. Returns what sums are multiplied by."""
    if PIECES:
        tl.store(lse + pair, top, mask=mask)
        tl.store(total_out + pair, total, mask=mask)
        scale = tl.zeros_like(total) + 1.0
    else:
        some = tl.where(top == float("-inf"), 1.0, total)
        tl.store(lse + pair, top + tl.log(some), mask=mask)
        scale = 1.0 / some
    return scale


@triton.jit
def score_gradient(score, lse, delta, dot, keep, valid):
    """[N, E] gradients of the scores, and the weights after dropout; dot: the gradients of the latter."""
    weight = tl.where(valid, tl.exp(score - lse), 0.0)
    return tl.where(valid, weight * (dot * keep - delta), 0.0), weight * keep


# part_*: what a forward kernel leaves of each piece, [items, H, DEPTH] and [items, H]; part_lse is its maximum.
@jit
def merge_kernel(
    indptr, part_out, part_lse, part_total, out, lse, first, num_rows, num_edges, heads, ACC: tl.constexpr,
    DEPTH: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
    part_positive_out=None, part_positive_total=None, positive_out=None, positive_total=None,
):  # fmt: skip
    start = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, owner, count = pieces(indptr, start, num_rows, num_edges, heads, PIECE, BLOCK_N)
    best, total, acc = softmax_sums(ACC, BLOCK_N, BLOCK_E, BLOCK_F)
    positive, positive_acc = total, acc
    for start in range(0, tl.max(count), BLOCK_E):
        turn = start + tl.arange(0, BLOCK_E)
        valid, entry = turn[None, :] < count[:, None], pair[:, None] + turn[None, :] * heads
        score = tl.load(part_lse + entry, mask=valid, other=float("-inf"))
        best, shrink, weight = raise_maximum(best, score)
        total = total * shrink + weight * tl.load(part_total + entry, mask=valid, other=0.0)
        value = gather(part_out, entry, valid, ACC, DEPTH, BLOCK_F)
        acc = acc * shrink[:, :, None] + weight[:, :, None] * value
        if positive_out is not None:
            positive = positive * shrink + weight * tl.load(part_positive_total + entry, mask=valid, other=0.0)
            value = gather(part_positive_out, entry, valid, ACC, DEPTH, BLOCK_F)
            positive_acc = positive_acc * shrink[:, :, None] + weight[:, :, None] * value
    real = count > 0
    top, whole, share = fold_lanes(best, total)
    scale = store_totals(lse, lse, owner, real, top, whole, False)
    store_weighted(out, owner, real, acc, share, scale, DEPTH, BLOCK_F)
    if positive_out is not None:
        tl.store(positive_total + owner, tl.sum(positive * share, axis=1) * scale, mask=real)
        store_weighted(positive_out, owner, real, positive_acc, share, scale, DEPTH, BLOCK_F)


# sums: [items, H, DEPTH] of each piece; out: [rows, H, DEPTH]
@jit
def add_pieces_kernel(
    indptr, sums, out, first, num_rows, num_edges, heads, ACC: tl.constexpr, DEPTH: tl.constexpr, PIECE: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    start = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    pair, owner, count = pieces(indptr, start, num_rows, num_edges, heads, PIECE, BLOCK_N)
    acc = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), 0.0, ACC)
    for start in range(0, tl.max(count), BLOCK_E):
        turn = start + tl.arange(0, BLOCK_E)
        entry = pair[:, None] + turn[None, :] * heads
        acc += gather(sums, entry, turn[None, :] < count[:, None], ACC, DEPTH, BLOCK_F)
    store_own(out, owner, count > 0, tl.sum(acc, axis=1), DEPTH, BLOCK_F)


# stats: [N, 3, H] (GAT) or [N, 2, H]: delta = grad . out, lse, and GAT's alpha. The weights of a row sum to 1 and their
# gradients' mean is delta, so the gradients of its scores before the leaky ReLU sum to 0 but for the slope: alpha gets
# (1 - slope) times the part of the positive ones.
@jit
def stats_kernel(
    grad, out, lse, alpha, positive_out, positive_total, grad_alpha, stats, first, num_pairs, heads, slope: tl.float64,
    ACC: tl.constexpr, DEPTH: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    pair, _row, head = pairs_from(first + tl.program_id(0).to(tl.int64) * BLOCK_N, heads, BLOCK_N)
    real = pair < num_pairs
    upstream = load_own(grad, pair, real, ACC, DEPTH, BLOCK_F)
    delta = tl.sum(tl.sum(upstream * load_own(out, pair, real, ACC, DEPTH, BLOCK_F), axis=2), axis=1)
    parts: tl.constexpr = 2 if alpha is None else 3
    place = stats + stats_at(pair, head, parts)
    tl.store(place, delta, mask=real)
    tl.store(place + heads, tl.load(lse + pair, mask=real, other=0.0), mask=real)
    if alpha is not None:
        tl.store(place + 2 * heads, tl.load(alpha + pair, mask=real, other=0.0).to(ACC), mask=real)
        change = tl.zeros_like(delta)
        if positive_out is not None:
            positive = load_own(positive_out, pair, real, ACC, DEPTH, BLOCK_F)
            change = tl.sum(tl.sum(upstream * positive, axis=2), axis=1)
            change -= delta * tl.load(positive_total + pair, mask=real, other=0.0)
            change *= 1.0 - tl.full((1,), slope, ACC)
        tl.store(grad_alpha + pair, change.to(grad_alpha.dtype.element_ty), mask=real)


@triton.jit
def stats_at(entry, head, PARTS: tl.constexpr):
    """Where the first part of entry = row * heads + head is in stats."""
    return (entry - head) * PARTS + head


def row_stats(grad: Tensor, out: Tensor, lse: Tensor, **gat: Any) -> Tensor:
    """What the backward kernels read of each row; grad, out: [N, H, D], lse: [N, H]. gat: arguments of stats_kernel."""
    rows, heads, depth = grad.shape
    stats = lse.new_empty(rows, 3 if gat else 2, heads)
    arguments = dict.fromkeys(("alpha", "positive_out", "positive_total", "grad_alpha")) | {"slope": 0.0} | gat
    arguments |= {"grad": grad, "out": out, "lse": lse, "stats": stats, "heads": heads, "num_pairs": rows * heads}
    blocks = _row_blocks(depth, rows * heads)
    flags = {"BLOCK_N": blocks.n, "BLOCK_F": blocks.f, "ACC": _triton.accumulate(grad.dtype), "DEPTH": depth}
    with _triton.on_device(grad):
        for first, grid in blocks.grid(rows * heads, 1):
            stats_kernel[grid](first=first, **arguments, **flags, num_warps=blocks.num_warps)
    return stats


def _row_blocks(depth: int, pairs: int) -> _triton.Blocks:
    f = triton.next_power_of_2(max(depth, 1))
    n = max(1, min(triton.next_power_of_2(max(pairs, 1)), (2**16 if _triton.interpreted() else 1024) // f))
    return _triton.Blocks(n, 1, f, max(1, min(8, n * f // 256)))


def head_choices(depth: int, pairs: int) -> list[_triton.Blocks]:
    """For _triton.tuned: whole heads, 8 or 4 values a thread; many more at a time in the interpreter."""
    f = triton.next_power_of_2(max(depth, 1))
    if _triton.interpreted():
        n = max(1, min(2**13 // f, triton.next_power_of_2(max(pairs, 1))))
        return [_triton.Blocks(n, max(16, min(128, 2**17 // (n * f))), f)]
    e, first = max(1, min(8, 1024 // f)), max(1, min(32, 128 // f))
    sizes = ((n, max(1, min(8, n * e * f // (32 * values)))) for values, n in ((8, first), (8, 2 * first), (4, first)))
    return list(dict.fromkeys(_triton.Blocks(n, e, f, num_warps) for n, num_warps in sizes))


def dropout(dropout_p: float, seed: int) -> dict[str, Any]:
    """What keep_factor takes."""
    threshold = min(int((1 - dropout_p) * 2**32), 2**32 - 1)
    return {"DROPOUT": dropout_p > 0, "threshold": threshold, "factor": 1 / (1 - dropout_p), "seed": seed}


class Walk:
    """Launches kernels over the edges of each row: over short rows, over the pieces of long ones, and to add those.

    values: [*, H, D], of the dtype that the kernels read.
    """

    def __init__(self, indptr: Tensor, num_edges: int, values: Tensor) -> None:
        self.num_rows, (self.heads, self.depth) = indptr.shape[0] - 1, values.shape[1:]
        self.num_pieces = triton.cdiv(num_edges, PIECE) if num_edges > PIECE else 0
        self.values, self.wide = values, accumulate_dtype(values.dtype)
        self.arguments = {"indptr": indptr, "num_rows": self.num_rows, "num_edges": num_edges, "heads": self.heads}
        self.arguments |= {"ACC": _triton.accumulate(values.dtype), "PIECE": PIECE}
        self._key = (self.heads, indptr.dtype, values.dtype, *map(_triton.magnitude, (self.num_rows, num_edges)))

    def launch(self, kernel: Any, items: int, **arguments: Any) -> None:
        """A program for each block of (item, head) pairs."""
        depth, pairs = arguments.setdefault("DEPTH", self.depth), items * self.heads
        arguments |= self.arguments

        def launch(blocks: _triton.Blocks) -> None:
            for first, grid in blocks.grid(pairs, 1):
                kernel[grid](first=first, **arguments, **blocks.flags(), num_warps=blocks.num_warps)

        choices, key = head_choices(depth, pairs), (*self._key, depth, arguments.get("DROPOUT"))
        with _triton.on_device(self.values):
            _triton.tuned(kernel, choices if items == self.num_rows else choices[:1], key, launch)

    def parts(self, *shape: int) -> Tensor:
        """[items, *shape] for what is known of each piece of a long row."""
        return self.values.new_empty(self.num_pieces, *shape, dtype=self.wide)

    def sums(self, outputs: dict[str, Tensor], launch: Callable[..., None]) -> None:
        """outputs: [rows, H, depth] or [rows, H], in which launch(number of items, ...) leaves sums over the edges."""
        launch(self.num_rows, PIECES=False, **outputs)
        if not self.num_pieces:
            return
        parts = {name: self.parts(*out.shape[1:]) for name, out in outputs.items()}
        launch(self.num_pieces, PIECES=True, **parts)
        for name, part in parts.items():
            depth = part.shape[2] if part.dim() == 3 else 1
            self.launch(add_pieces_kernel, self.num_pieces, sums=part, out=outputs[name], DEPTH=depth)

    def softmax(self, outputs: dict[str, Tensor], launch: Callable[..., None]) -> None:
        """outputs: out [rows, H, depth], lse [rows, H] of a forward kernel; maybe positive_out and positive_total."""
        launch(self.num_rows, PIECES=False, total_out=outputs["lse"], **outputs)
        if not self.num_pieces:
            return
        parts = {name: self.parts(*out.shape[1:]) for name, out in outputs.items()}
        total = self.parts(self.heads)
        launch(self.num_pieces, PIECES=True, total_out=total, **parts)
        parts = {f"part_{name}": part for name, part in parts.items()}
        self.launch(merge_kernel, self.num_pieces, part_total=total, **parts, **outputs)


VARIANTS = (  # of values, indices, depth; what the compile gate compiles
    (torch.float32, torch.int64, 64),
    (torch.float64, torch.int32, 128),
    (torch.float16, torch.int32, 16),
    (torch.bfloat16, torch.int64, 256),
)


def variants(
    kernel: Any,
    graph: str,
    values: str,
    sums: str = "",
    depth: int | None = None,
    **constexprs: Any,
) -> Iterator[_triton.Variant]:
    """A variant of each kind; graph, values, sums: the pointers to indices, values and accumulated values."""
    for value, index, head_depth in VARIANTS:
        depth_here = head_depth if depth is None else depth
        blocks = head_choices(depth_here, 2**20)[0]
        pointers = dict.fromkeys(["indptr", *graph.split()], index) | dict.fromkeys(values.split(), value)
        pointers |= dict.fromkeys(sums.split(), accumulate_dtype(value))
        flags = {"ACC": _triton.accumulate(value), "DEPTH": depth_here, "PIECE": PIECE} | blocks.flags() | constexprs
        flags = {name: flag for name, flag in flags.items() if name in kernel.arg_names}
        pointers = {name: pointer for name, pointer in pointers.items() if name not in flags}
        yield _triton.Variant(kernel, pointers, flags, blocks.num_warps)
