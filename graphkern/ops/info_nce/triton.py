from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops._triton_logits import (
    any_positive,
    find_positives,
    finite,
    load_tile,
    merge,
    positives_of,
    positives_of_rows,
    products,
    to_logits,
)

PROGRAMS = 256  # that few rows are split into, to fill a device
SHORTEST = 1024  # columns of a split
MERGED = 256  # queries whose splits a program puts together
_jit = triton.jit(do_not_specialize=["first_block", "num_rows", "num_columns", "per_split"])


# A program owns BLOCK_M rows and walks a split of the columns: queries and keys, or TURNED keys and queries. It adds up
# what the logits of positives make up of their mean.
@_jit
def lse_kernel(
    own,
    walked,
    bias,
    key_id,
    rank,
    indptr,
    entry,
    entry_id,
    share,
    scale,
    out,
    mean,
    first_block,
    num_rows,
    num_columns,
    per_split,
    DEPTH: tl.constexpr,
    TURNED: tl.constexpr,
    BIASED: tl.constexpr,
    IDS: tl.constexpr,
    SEVERAL: tl.constexpr,
    WHOLE: tl.constexpr,
    OPERAND: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    first_row = (first_block + tl.program_id(0).to(tl.int64)) * BLOCK_M
    begin = tl.program_id(1).to(tl.int64) * per_split
    end = tl.minimum(begin + per_split, num_columns)
    row = first_row + tl.arange(0, BLOCK_M)
    factor = tl.load(scale)
    held = load_tile(own, first_row, num_rows, 0, DEPTH, BLOCK_M, BLOCK_D)
    top, total = tl.full((BLOCK_M,), float("-inf"), ACC), tl.zeros((BLOCK_M,), ACC)
    of_positives = tl.zeros((BLOCK_M,), ACC)
    for start in range(begin, end, BLOCK_N):
        value = load_tile(walked, start, end, 0, DEPTH, BLOCK_N, BLOCK_D)
        sides, places = (own, held, walked, value), (first_row, num_rows, start, end, DEPTH)
        s = products(sides, places, OPERAND, ACC, WHOLE, BLOCK_M, BLOCK_N, BLOCK_D)
        b, k = row[:, None], (start + tl.arange(0, BLOCK_N))[None, :]
        real_b, real = b < num_rows, k < end
        real_k = real
        if TURNED:
            b, k, real_b, real_k = k, b, real_k, real_b
        positives, keys, left_out = (indptr, entry, entry_id, share), (key_id, rank), real
        if IDS:
            part, left_out = find_positives(positives, keys, b, k, real_b, real_k, SEVERAL, IDS, ACC)
        s = to_logits(s, factor, bias, k, real_k, real, left_out, BIASED, IDS, ACC)
        if not TURNED:
            if IDS:
                of_positives += tl.sum(tl.where(part > 0, s, 0.0) * part, axis=1)
            elif any_positive(positives, b, real_b, start, start + BLOCK_N, SEVERAL):
                part, _ = find_positives(positives, keys, b, k, real_b, real_k, SEVERAL, IDS, ACC)
                of_positives += tl.sum(tl.where(part > 0, s, 0.0) * part, axis=1)
        higher = tl.maximum(top, tl.max(s, axis=1))
        total = total * tl.exp(top - finite(higher)) + tl.sum(tl.exp(s - finite(higher)[:, None]), axis=1)
        top = higher
    place = tl.program_id(1).to(tl.int64) * num_rows + row
    tl.store(out + place, finite(top) + tl.log(total), mask=row < num_rows)
    if not TURNED:
        tl.store(mean + place, of_positives, mask=row < num_rows)


# A program puts together what splits have of BLOCK queries.
@triton.jit(do_not_specialize=["first_block", "num_queries", "splits", "splits_key"])
def loss_kernel(
    indptr,
    partial,
    partial_key,
    mean,
    lse,
    lse_key,
    loss,
    first_block,
    num_queries,
    splits,
    splits_key,
    SEVERAL: tl.constexpr,
    SYMMETRIC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = (first_block + tl.program_id(0).to(tl.int64)) * BLOCK + tl.arange(0, BLOCK)
    real = row < num_queries
    of_row = merge(partial, row, num_queries, splits)
    tl.store(lse + row, of_row, mask=real)
    of_positives = tl.zeros_like(of_row)
    for split in range(splits):
        of_positives += tl.load(mean + (split * num_queries + row), mask=real, other=0.0)
    total = of_row - of_positives
    if SYMMETRIC:
        of_column = merge(partial_key, row, num_queries, splits_key)
        tl.store(lse_key + row, of_column, mask=real)
        total = (total + of_column - of_positives) / 2
    if SEVERAL:
        last = tl.load(indptr + row + 1, mask=real, other=0)
        total = tl.where(last > tl.load(indptr + row, mask=real, other=0), total, 0.0)
    tl.store(loss + row, total.to(loss.dtype.element_ty), mask=real)


# As lse_kernel, for BLOCK_F features of the gradient. of_row: TURNED the sums of the rows of grad_logits, else of the
# gradient (before the scale) times own.
@_jit
def grad_kernel(
    own,
    walked,
    bias,
    key_id,
    rank,
    indptr,
    entry,
    entry_id,
    share,
    scale,
    grad,
    lse,
    lse_key,
    out,
    of_row,
    first_block,
    num_rows,
    num_columns,
    per_split,
    DEPTH: tl.constexpr,
    TURNED: tl.constexpr,
    BIASED: tl.constexpr,
    IDS: tl.constexpr,
    SEVERAL: tl.constexpr,
    SYMMETRIC: tl.constexpr,
    WHOLE: tl.constexpr,
    OPERAND: tl.constexpr,
    WEIGHT: tl.constexpr,
    PRECISION: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    first_row = (first_block + tl.program_id(0).to(tl.int64)) * BLOCK_M
    split, chunk = tl.program_id(1).to(tl.int64), tl.program_id(2)
    begin = split * per_split
    end = tl.minimum(begin + per_split, num_columns)
    row, first_feature = first_row + tl.arange(0, BLOCK_M), chunk * BLOCK_F
    factor = tl.load(scale)
    held = load_tile(own, first_row, num_rows, first_feature, DEPTH, BLOCK_M, BLOCK_F)
    acc, total = tl.zeros((BLOCK_M, BLOCK_F), ACC), tl.zeros((BLOCK_M,), ACC)
    for start in range(begin, end, BLOCK_N):
        value = load_tile(walked, start, end, first_feature, DEPTH, BLOCK_N, BLOCK_F)
        sides, places = (own, held, walked, value), (first_row, num_rows, start, end, DEPTH)
        s = products(sides, places, OPERAND, ACC, WHOLE, BLOCK_M, BLOCK_N, BLOCK_D)
        b, k = row[:, None], (start + tl.arange(0, BLOCK_N))[None, :]
        real_b, real_k = b < num_rows, k < end
        if TURNED:
            b, k, real_b, real_k = k, b, real_k, real_b
        positives, keys, real = (indptr, entry, entry_id, share), (key_id, rank), real_b & real_k
        left_out = real
        if IDS:
            part, left_out = find_positives(positives, keys, b, k, real_b, real_k, SEVERAL, IDS, ACC)
        s = to_logits(s, factor, bias, k, real_k, real, left_out, BIASED, IDS, ACC)
        upstream = tl.load(grad + b, mask=real_b, other=0.0).to(ACC)
        if SEVERAL:
            upstream = tl.where(positives_of_rows(positives, b, real_b)[1] > 0, upstream, 0.0)
        weight = upstream * tl.exp(s - tl.load(lse + b, mask=real_b, other=0.0))
        if SYMMETRIC:
            of_key = tl.load(grad + k, mask=real_k, other=0.0).to(ACC)
            weight += of_key * tl.exp(s - tl.load(lse_key + k, mask=real_k, other=0.0))
            upstream = upstream + of_key
        if IDS:
            weight -= upstream * part
        else:
            first_key = first_row if TURNED else start
            if any_positive(positives, b, real_b, first_key, first_key + (BLOCK_M if TURNED else BLOCK_N), SEVERAL):
                part, _ = find_positives(positives, keys, b, k, real_b, real_k, SEVERAL, IDS, ACC)
                weight -= upstream * part
        if SYMMETRIC:
            weight *= 0.5
        weight = tl.where(real, weight, 0.0)
        total += tl.sum(weight, axis=1)
        acc = tl.dot(weight.to(WEIGHT), value.to(WEIGHT), acc, input_precision=PRECISION, out_dtype=ACC)
    if not TURNED:
        total = tl.sum(acc * held.to(ACC), axis=1)
    place = (split * tl.num_programs(2) + chunk) * num_rows + row
    tl.store(of_row + place, total, mask=row < num_rows)
    feature = first_feature + tl.arange(0, BLOCK_F)
    target = out + (split * num_rows + row)[:, None] * DEPTH + feature[None, :]
    mask = (row < num_rows)[:, None] & (feature < DEPTH)[None, :]
    tl.store(target, (acc * factor).to(out.dtype.element_ty), mask=mask)


def _values(key: Tensor, bias: Tensor | None, scale: Tensor) -> dict[str, Any]:
    values: dict[str, Any] = {"bias": key if bias is None else bias.contiguous(), "BIASED": bias is not None}
    operand, acc = _triton.operand(key.dtype), _triton.accumulate(key.dtype)
    return values | {"scale": scale, "OPERAND": operand, "ACC": acc}


def _splits(num_rows: int, num_columns: int, chunks: int = 1) -> tuple[int, int]:
    """(how many, columns of each): the same for every tile, so that sums have one order."""
    programs = triton.cdiv(num_rows, 64) * chunks
    number = max(1, min(PROGRAMS // max(programs, 1), triton.cdiv(num_columns, SHORTEST)))
    per_split = triton.cdiv(triton.cdiv(num_columns, number), 64) * 64
    return max(1, triton.cdiv(num_columns, max(per_split, 1))), per_split


def _blocks(dtype: torch.dtype, depth: int, columns: int) -> dict[str, Any]:
    """BLOCK_D terms of a logit at a time, BLOCK_F features of a gradient, BLOCK_N of so many columns for halves."""
    wide = _triton.interpreted() or dtype.itemsize == 2
    terms, features = _triton.width(depth, 128 if wide else 32), _triton.width(depth, 128 if wide else 64)
    columns = 256 if _triton.interpreted() else columns if wide else columns // 2
    return {"DEPTH": depth, "WHOLE": depth <= terms, "BLOCK_N": columns, "BLOCK_D": terms, "BLOCK_F": features}


def _tiles(num_rows: int, dtype: torch.dtype, several: bool, columns: int) -> list[_triton.Tile]:
    """Halves go to tensor cores, 16 rows a warp; other types, and the search for positives, take more registers."""
    loose = dtype.itemsize == 2 and not several
    most = (256,) if _triton.interpreted() else (64, 32) if loose else (32, 16)
    rows = dict.fromkeys(_triton.width(num_rows, m) for m in most)
    return [_triton.Tile(m, columns, max(1, m // (16 if loose else 8))) for m in rows]


def _columns(dtype: torch.dtype, several: bool) -> int:
    return 32 if several and dtype.itemsize > 2 else 64


def _lse(own: Tensor, walked: Tensor, arguments: dict[str, Any], turned: bool) -> tuple[Tensor, Tensor, int]:
    """[splits, rows] the log-sum-exp of each split of the columns, what it adds to the mean; how many there are."""
    (num_rows, depth), num_columns = own.shape, walked.shape[0]
    splits, per_split = _splits(num_rows, num_columns)
    out, mean = own.new_empty(2, splits, num_rows, dtype=accumulate_dtype(own.dtype))
    columns = _columns(own.dtype, arguments["SEVERAL"])
    flags = {"TURNED": turned, **arguments, **_blocks(own.dtype, depth, columns)}
    del flags["BLOCK_F"]
    pointers = {"own": own, "walked": walked, "out": out, "mean": mean}
    sizes = {"num_rows": num_rows, "num_columns": num_columns, "per_split": per_split}

    def launch(tile: _triton.Tile) -> None:
        for first, number in _triton.programs(triton.cdiv(num_rows, tile.m)):
            grid = (number, splits)
            lse_kernel[grid](**pointers, first_block=first, **sizes, **flags, BLOCK_M=tile.m, num_warps=tile.num_warps)

    tiles = _tiles(num_rows, own.dtype, arguments["SEVERAL"], columns)
    _triton.tuned(lse_kernel, tiles, _key(own, num_columns, flags), launch)
    return out, mean, splits


def _key(own: Tensor, num_columns: int, flags: dict[str, Any]) -> tuple:
    sizes = own.shape[1], _triton.magnitude(own.shape[0]), _triton.magnitude(num_columns)
    return *sizes, own.dtype, *(value for value in flags.values() if isinstance(value, bool))


def info_nce(
    query: Tensor,
    key: Tensor,
    indptr: Tensor | None,
    target: Tensor,
    bias: Tensor | None,
    key_id: Tensor | None,
    symmetric: bool,
    scale: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    num_queries, several = query.shape[0], indptr is not None
    query, key, target = query.contiguous(), key.contiguous(), target.contiguous()
    arguments = _values(key, bias, scale) | positives_of(indptr, target, key_id, scale, key.shape[0])
    loss, lse = _triton.empty(query, num_queries), scale.new_empty(num_queries)
    lse_key = scale.new_empty(num_queries if symmetric else 0)
    with _triton.on_device(query):
        partial, mean, splits = _lse(query, key, arguments, False)
        partial_key, _, splits_key = _lse(key, query, arguments, True) if symmetric else (partial, mean, splits)
        for first, number in _triton.programs(triton.cdiv(num_queries, MERGED)):
            pointers = (arguments["indptr"], partial, partial_key, mean, lse, lse_key, loss)
            flags = {"SEVERAL": several, "SYMMETRIC": symmetric, "BLOCK": MERGED}
            loss_kernel[number,](*pointers, first, num_queries, splits, splits_key, **flags)
    return loss.to(query.dtype), lse, lse_key


def _precision(dtype: torch.dtype) -> dict[str, Any]:
    """How grad_logits multiply rows. Float16 lacks their range: they take TF32, which holds its values exactly."""
    if dtype != torch.float16:
        return {"WEIGHT": _triton.operand(dtype), "PRECISION": "ieee"}
    return {"WEIGHT": tl.float32, "PRECISION": "ieee" if torch.version.hip else "tf32"}


def _gradient(own: Tensor, walked: Tensor, arguments: dict[str, Any], turned: bool) -> tuple[Tensor, Tensor]:
    """The gradient of own, and what of_row takes, [splits, chunks, rows]."""
    (num_rows, depth), num_columns = own.shape, walked.shape[0]
    blocks = _blocks(own.dtype, depth, 32)
    chunks = max(1, triton.cdiv(depth, blocks["BLOCK_F"]))
    splits, per_split = _splits(num_rows, num_columns, chunks)
    wide = accumulate_dtype(own.dtype)
    out = _triton.empty(own, 1, num_rows, depth) if splits == 1 else own.new_empty(splits, num_rows, depth, dtype=wide)
    of_row = own.new_empty(splits, chunks, num_rows, dtype=wide)
    flags = {"TURNED": turned, **arguments, **blocks, **_precision(own.dtype)}
    pointers = {"own": own, "walked": walked, "out": out, "of_row": of_row}
    sizes = {"num_rows": num_rows, "num_columns": num_columns, "per_split": per_split}

    def launch(tile: _triton.Tile) -> None:
        for first, number in _triton.programs(triton.cdiv(num_rows, tile.m)):
            grid = (number, splits, chunks)
            grad_kernel[grid](**pointers, first_block=first, **sizes, **flags, BLOCK_M=tile.m, num_warps=tile.num_warps)

    tiles = _tiles(num_rows, own.dtype, arguments["SEVERAL"], 32)
    _triton.tuned(grad_kernel, tiles, _key(own, num_columns, flags), launch)
    return (out[0] if splits == 1 else out.sum(0)).to(own.dtype), of_row


def info_nce_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    indptr: Tensor | None,
    target: Tensor,
    bias: Tensor | None,
    key_id: Tensor | None,
    scale: Tensor,
    lse: Tensor,
    lse_key: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    query, key, target = query.contiguous(), key.contiguous(), target.contiguous()
    arguments = _values(key, bias, scale) | positives_of(indptr, target, key_id, scale, key.shape[0])
    arguments |= {"grad": grad.contiguous(), "lse": lse.contiguous(), "lse_key": lse_key.contiguous()}
    arguments["SYMMETRIC"] = lse_key.shape[0] > 0
    with _triton.on_device(query):
        grad_query, of_scale = _gradient(query, key, arguments, False)
        grad_key, of_bias = _gradient(key, query, arguments, True)
    grad_scale = of_scale.sum(dtype=torch.float64).to(scale.dtype)
    return grad_query, grad_key, of_bias[:, 0].sum(0).to(key.dtype), grad_scale


def variants() -> Iterator[_triton.Variant]:
    """With no flags, most and all of them; rows as a whole and in parts."""
    names = ("SEVERAL", "BIASED", "IDS", "SYMMETRIC", "TURNED")
    cases = [(torch.float32, 64, 0), (torch.float32, 64, 2), (torch.float32, 64, 3), (torch.float32, 64, 5)]
    cases += [(torch.float64, 64, 5), (torch.float16, 64, 0), (torch.float16, 64, 2), (torch.bfloat16, 300, 5)]
    for value, depth, number in cases:
        wide, acc = accumulate_dtype(value), _triton.accumulate(value)
        pointers = dict.fromkeys(("key_id", "rank", "indptr", "entry", "entry_id"), torch.int64)
        pointers |= dict.fromkeys(("own", "walked", "bias", "grad", "loss"), value)
        pointers |= dict.fromkeys(
            ("share", "scale", "lse", "lse_key", "of_row", "partial", "partial_key", "mean"), wide
        )
        common = {"OPERAND": _triton.operand(value), "ACC": acc}
        common |= {name: place < number for place, name in enumerate(names)}
        for kernel, columns, out in ((lse_kernel, _columns(value, number > 0), wide), (grad_kernel, 32, value)):
            tile = _tiles(64, value, number > 0, columns)[0]
            flags = common | _blocks(value, depth, columns) | _precision(value) | {"BLOCK_M": tile.m}
            yield _variant(kernel, pointers | {"out": out}, flags, tile.num_warps)
        yield _variant(loss_kernel, pointers, common | {"BLOCK": MERGED}, 4)


def _variant(kernel: Any, pointers: dict[str, torch.dtype], flags: dict[str, Any], num_warps: int) -> _triton.Variant:
    """With those arguments that the kernel has."""
    mine = {name: dtype for name, dtype in pointers.items() if name in kernel.arg_names}
    return _triton.Variant(kernel, mine, {name: flags[name] for name in flags if name in kernel.arg_names}, num_warps)
