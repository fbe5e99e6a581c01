from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton

ROWS = 2048  # of a segment that one program adds up
DEPTH = 32  # terms of the sums that are held at a time
PIVOTS = tl.constexpr(256)  # segments that a search looks at together
LANES, WIDTH = 8, 256  # partial sums x values that a program merges at a time


# Segment s takes tiles indptr[s] // SIZE + s to indptr[s + 1] // SIZE + s. That is enough for its rows, and how many
# tiles there are is known without reading indptr. Returns the segment of a tile, the segment's first row, the tile's,
# and the segment's end; a tile that is not needed begins at the end or beyond.
@triton.jit
def find_tile(indptr, num_segments, tile, SIZE: tl.constexpr):
    segment, size = tile * 0, tile * 0 + num_segments
    while size > 1:
        size = (size + PIVOTS - 1) // PIVOTS
        pivot = segment + size * tl.arange(0, PIVOTS)
        first = tl.load(indptr + pivot, mask=pivot < num_segments, other=0).to(tl.int64) // SIZE + pivot
        segment += size * (tl.sum(((pivot < num_segments) & (first <= tile)).to(tl.int32)) - 1)
    begin = tl.load(indptr + segment).to(tl.int64)
    return segment, begin, begin + (tile - begin // SIZE - segment) * SIZE, tl.load(indptr + segment + 1).to(tl.int64)


# A program owns BLOCK_M rows of one segment and BLOCK_N features.
@triton.jit(do_not_specialize=["first_tile", "num_segments"])
def matmul_kernel(
    x,
    indptr,
    weight,
    out,
    first_tile,
    num_segments,
    f_in,
    f_out,
    stride_segment,
    stride_in,
    stride_out,
    OPERAND: tl.constexpr,
    ACC: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    tile = first_tile + tl.program_id(0).to(tl.int64)
    segment, _begin, start, end = find_tile(indptr, num_segments, tile, BLOCK_M)
    if start < end:
        row, depth, column = tl.arange(0, BLOCK_M), tl.arange(0, DEPTH), tl.arange(0, BLOCK_N)
        first_column = tl.program_id(1).to(tl.int64) * BLOCK_N
        real_row, real_column = (row < end - start)[:, None], (column < f_out - first_column)[None, :]
        of_x = (row[:, None] * f_in + depth[None, :]).to(tl.int32)
        of_weight = (depth[:, None] * stride_in + column[None, :] * stride_out).to(tl.int32)
        x += start * f_in
        weight += segment * stride_segment + first_column * stride_out
        acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
        for first in range(0, f_in, DEPTH):
            real = depth < f_in - first
            a = tl.load(x + of_x, mask=real_row & real[None, :], other=0.0)
            b = tl.load(weight + of_weight, mask=real[:, None] & real_column, other=0.0)
            acc = tl.dot(a.to(OPERAND), b.to(OPERAND), acc, input_precision="ieee", out_dtype=ACC)
            x += DEPTH
            weight += DEPTH * stride_in
        out += start * f_out + first_column
        of_out = (row[:, None] * f_out + column[None, :]).to(tl.int32)
        tl.store(out + of_out, acc.to(out.dtype.element_ty), mask=real_row & real_column)


# A program owns ROWS rows of one segment and BLOCK_M x BLOCK_N values of the result. A segment of more rows has its
# sums in partial, from 2 * (indptr[s] // ROWS) on: segments that long do not overlap there.
@triton.jit(do_not_specialize=["first_tile", "num_segments"])
def outer_kernel(
    x,
    indptr,
    grad,
    out,
    partial,
    first_tile,
    num_segments,
    f_in,
    f_out,
    OPERAND: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    tile = first_tile + tl.program_id(0).to(tl.int64)
    segment, begin, start, end = find_tile(indptr, num_segments, tile, ROWS)
    if (start < end) | (start == begin):
        turn, down, column = tl.arange(0, DEPTH), tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
        first_down, first_column = tl.program_id(1).to(tl.int64) * BLOCK_M, tl.program_id(2).to(tl.int64) * BLOCK_N
        real_down, real_column = down < f_in - first_down, (column < f_out - first_column)[None, :]
        of_x = (turn[:, None] * f_in + down[None, :]).to(tl.int32)
        of_grad = (turn[:, None] * f_out + column[None, :]).to(tl.int32)
        x += start * f_in + first_down
        grad += start * f_out + first_column
        acc = tl.zeros((BLOCK_M, BLOCK_N), ACC)
        length = tl.minimum(ROWS, end - start)
        for first in range(0, length, DEPTH):
            real = (turn < length - first)[:, None]
            a = tl.load(x + of_x, mask=real & real_down[None, :], other=0.0)
            b = tl.load(grad + of_grad, mask=real & real_column, other=0.0)
            acc = tl.dot(tl.trans(a.to(OPERAND)), b.to(OPERAND), acc, input_precision="ieee", out_dtype=ACC)
            x += DEPTH * f_in
            grad += DEPTH * f_out
        mask = real_down[:, None] & real_column
        entry = (first_down + down[:, None]) * f_out + first_column + column[None, :]
        if end - begin <= ROWS:
            tl.store(out + segment * f_in * f_out + entry, acc.to(out.dtype.element_ty), mask=mask)
        else:
            place = 2 * (begin // ROWS) + (start - begin) // ROWS
            tl.store(partial + place * f_in * f_out + entry, acc, mask=mask)


# A program owns WIDTH values of one segment, whose partial sums it adds up if there are several.
@triton.jit(do_not_specialize=["first_program"])
def merge_kernel(
    indptr,
    partial,
    out,
    first_program,
    size,
    ROWS: tl.constexpr,
    ACC: tl.constexpr,
    LANES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    program = first_program + tl.program_id(0).to(tl.int64)
    per_segment = tl.cdiv(size, WIDTH)
    segment = program // per_segment
    begin = tl.load(indptr + segment).to(tl.int64)
    length = tl.load(indptr + segment + 1).to(tl.int64) - begin
    if length > ROWS:
        entry = program % per_segment * WIDTH + tl.arange(0, WIDTH)
        acc = tl.zeros((LANES, WIDTH), ACC)
        for first in range(0, tl.cdiv(length, ROWS), LANES):
            chunk = first + tl.arange(0, LANES)[:, None]
            place = 2 * (begin // ROWS) + chunk
            mask = (chunk < tl.cdiv(length, ROWS)) & (entry < size)[None, :]
            acc += tl.load(partial + place * size + entry[None, :], mask=mask, other=0.0)
        total = tl.sum(acc, axis=0)
        tl.store(out + segment * size + entry, total.to(out.dtype.element_ty), mask=entry < size)


def _matmul_tiles(length: int, num_segments: int, f_out: int) -> list[_triton.Tile]:
    """The first has as many rows as an average segment."""
    average = length // max(num_segments, 1)
    if _triton.interpreted():
        return [_triton.tile(_triton.width(4 * average, 512), _triton.width(f_out, 512))]
    rows = dict.fromkeys((_triton.width(average, 64), 16, 32, 64, 128))
    return [_triton.tile(m, _triton.width(f_out, 64)) for m in rows]


def _outer_tiles(f_in: int, f_out: int) -> list[_triton.Tile]:
    most = (512,) if _triton.interpreted() else (64, 32)
    sizes = dict.fromkeys((_triton.width(f_in, block), _triton.width(f_out, block)) for block in most)
    return [_triton.tile(m, n) for m, n in sizes]


def _depth(length: int) -> int:
    return _triton.width(length, 512) if _triton.interpreted() else DEPTH


def segment_matmul(x: Tensor, indptr: Tensor, weight: Tensor) -> Tensor:
    (length, f_in), (num_segments, _, f_out) = x.shape, weight.shape
    x, indptr, out = x.contiguous(), indptr.contiguous(), _triton.empty(x, length, f_out)

    def launch(tile: _triton.Tile) -> None:
        for first, number in _triton.programs(length // tile.m + num_segments if out.numel() else 0):
            matmul_kernel[number, triton.cdiv(f_out, tile.n)](
                x,
                indptr,
                weight,
                out,
                first,
                num_segments,
                f_in,
                f_out,
                *weight.stride(),
                OPERAND=_triton.operand(x.dtype),
                ACC=_triton.accumulate(x.dtype),
                DEPTH=_depth(f_in),
                **tile.flags(),
                num_warps=tile.num_warps,
            )

    key = (f_in, f_out, *map(_triton.magnitude, (length, num_segments)), x.dtype, weight.stride(2) == 1)
    with _triton.on_device(x):
        _triton.tuned(matmul_kernel, _matmul_tiles(length, num_segments, f_out), key, launch)
    return out.to(x.dtype)


def segment_outer(x: Tensor, indptr: Tensor, grad: Tensor) -> Tensor:
    (length, f_in), f_out, num_segments = x.shape, grad.shape[1], indptr.shape[0] - 1
    x, indptr, grad = x.contiguous(), indptr.contiguous(), grad.contiguous()
    out = _triton.empty(x, num_segments, f_in, f_out)
    acc = _triton.accumulate(x.dtype)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    partial = x.new_empty(2 * (length // ROWS), f_in, f_out, dtype=wide)

    def launch(tile: _triton.Tile) -> None:
        for first, number in _triton.programs(length // ROWS + num_segments if out.numel() else 0):
            outer_kernel[number, triton.cdiv(f_in, tile.m), triton.cdiv(f_out, tile.n)](
                x,
                indptr,
                grad,
                out,
                partial,
                first,
                num_segments,
                f_in,
                f_out,
                OPERAND=_triton.operand(x.dtype),
                ACC=acc,
                ROWS=ROWS,
                DEPTH=_depth(length),
                **tile.flags(),
                num_warps=tile.num_warps,
            )

    key = (f_in, f_out, *map(_triton.magnitude, (length, num_segments)), x.dtype)
    with _triton.on_device(x):
        _triton.tuned(outer_kernel, _outer_tiles(f_in, f_out), key, launch)
        count = num_segments * triton.cdiv(f_in * f_out, WIDTH)
        for first, number in _triton.programs(count if length > ROWS else 0):
            flags = {"ROWS": ROWS, "ACC": acc, "LANES": LANES, "WIDTH": WIDTH}
            merge_kernel[number,](indptr, partial, out, first, f_in * f_out, **flags)
    return out.to(x.dtype)


def variants() -> Iterator[_triton.Variant]:
    for value in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        acc, index = _triton.accumulate(value), torch.int32 if value == torch.float32 else torch.int64
        wide = torch.float64 if value == torch.float64 else torch.float32
        flags = {"OPERAND": _triton.operand(value), "ACC": acc, "DEPTH": DEPTH}
        graph = {"indptr": index}
        dense, upstream = dict.fromkeys(("x", "weight", "out"), value), dict.fromkeys(("x", "grad", "out"), value)
        for tile in (_triton.tile(16, 16), _triton.tile(16, 64), _triton.tile(128, 64)):
            yield _triton.Variant(matmul_kernel, graph | dense, flags | tile.flags(), tile.num_warps)
        for tile in (_triton.tile(16, 64), _triton.tile(32, 32), _triton.tile(64, 64)):
            more = {"ROWS": ROWS} | tile.flags()
            pointers = graph | upstream | {"partial": wide}
            yield _triton.Variant(outer_kernel, pointers, flags | more, tile.num_warps)
        merge = {"ROWS": ROWS, "ACC": acc, "LANES": LANES, "WIDTH": WIDTH}
        yield _triton.Variant(merge_kernel, graph | {"partial": wide, "out": value}, merge, 4)
