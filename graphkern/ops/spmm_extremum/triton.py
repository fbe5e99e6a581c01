from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton


# A program owns BLOCK_N rows and BLOCK_F features. Lane (n, e, f) keeps the best of every BLOCK_E-th edge of its row
# and where it was; among the lanes of a row the first edge with a NaN wins, else the first edge with the largest key.
@triton.jit
def extremum_kernel(
    indptr,
    indices,
    x,
    weight,
    out,
    arg,
    first_row,
    num_rows,
    features,
    heads,
    MAX: tl.constexpr,
    WEIGHTED: tl.constexpr,
    MANY_HEADS: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    row = first_row + tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    begin = tl.load(indptr + row, mask=row < num_rows, other=0).to(tl.int64)
    degree = tl.load(indptr + row + 1, mask=row < num_rows, other=0).to(tl.int64) - begin
    feature = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    real = feature < features
    head = feature // (features // heads)
    best = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), float("-inf"), ACC)
    where = tl.full((BLOCK_N, BLOCK_E, BLOCK_F), -1, tl.int64)
    for start in range(0, tl.max(degree), BLOCK_E):
        turn = start + tl.arange(0, BLOCK_E)
        valid = turn[None, :] < degree[:, None]
        position = begin[:, None] + turn[None, :]
        column = tl.load(indices + position, mask=valid, other=0).to(tl.int64)
        both = valid[:, :, None] & real[None, None, :]
        key = tl.load(x + column[:, :, None] * features + feature[None, None, :], mask=both, other=0.0).to(ACC)
        if WEIGHTED:
            if MANY_HEADS:
                entry = position[:, :, None] * heads + head[None, None, :]
                key *= tl.load(weight + entry, mask=both, other=0.0).to(ACC)
            else:
                key *= tl.load(weight + position, mask=valid, other=0.0).to(ACC)[:, :, None]
        if not MAX:
            key = -key
        take = both & ((where < 0) | (key > best) | ((key != key) & (best == best)))
        best = tl.where(take, key, best)
        where = tl.where(take, position[:, :, None], where)
    is_nan = best != best
    has_nan = tl.max(is_nan.to(tl.int32), axis=1)
    top = tl.max(tl.where(is_nan, float("-inf"), best), axis=1)
    wins = (where >= 0) & tl.where(has_nan[:, None, :] == 1, is_nan, best == top[:, None, :])
    last = (begin + degree)[:, None]
    first = tl.min(tl.where(wins, where, last[:, :, None]), axis=1)
    value = tl.where(has_nan == 1, float("nan"), top)
    if not MAX:
        value = -value
    empty = (degree == 0)[:, None]
    value = tl.where(empty, 0.0, value)
    first = tl.where(empty, -1, first)
    target = row[:, None] * features + feature[None, :]
    mask = (row < num_rows)[:, None] & real[None, :]
    tl.store(out + target, value.to(out.dtype.element_ty), mask=mask)
    tl.store(arg + target, first.to(arg.dtype.element_ty), mask=mask)


# A program owns BLOCK_N columns of the graph, which are rows of the transpose, and BLOCK_F features.
@triton.jit
def grad_x_kernel(
    t_indptr,
    t_indices,
    t_edge,
    grad,
    arg,
    weight,
    out,
    first_column,
    num_cols,
    features,
    heads,
    WEIGHTED: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    column = first_column + tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    begin = tl.load(t_indptr + column, mask=column < num_cols, other=0).to(tl.int64)
    degree = tl.load(t_indptr + column + 1, mask=column < num_cols, other=0).to(tl.int64) - begin
    feature = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    real = feature < features
    head = feature // (features // heads)
    acc = tl.zeros((BLOCK_N, BLOCK_E, BLOCK_F), ACC)
    for start in range(0, tl.max(degree), BLOCK_E):
        turn = start + tl.arange(0, BLOCK_E)
        valid = turn[None, :] < degree[:, None]
        position = begin[:, None] + turn[None, :]
        row = tl.load(t_indices + position, mask=valid, other=0).to(tl.int64)
        edge = tl.load(t_edge + position, mask=valid, other=0).to(tl.int64)[:, :, None]
        entry = row[:, :, None] * features + feature[None, None, :]
        winner = tl.load(arg + entry, mask=valid[:, :, None] & real[None, None, :], other=-1).to(tl.int64)
        wins = valid[:, :, None] & (winner == edge)
        value = tl.load(grad + entry, mask=wins, other=0.0).to(ACC)
        if WEIGHTED:
            value *= tl.load(weight + edge * heads + head[None, None, :], mask=wins, other=0.0).to(ACC)
        acc += value
    total = tl.sum(acc, axis=1)
    target = out + column[:, None] * features + feature[None, :]
    tl.store(target, total.to(out.dtype.element_ty), mask=(column < num_cols)[:, None] & real[None, :])


# A program owns the edges of BLOCK_N rows, for one head.
@triton.jit
def grad_weight_kernel(
    indptr,
    indices,
    grad,
    arg,
    x,
    out,
    first_row,
    num_rows,
    features,
    heads,
    ACC: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    row = first_row + tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    begin = tl.load(indptr + row, mask=row < num_rows, other=0).to(tl.int64)
    degree = tl.load(indptr + row + 1, mask=row < num_rows, other=0).to(tl.int64) - begin
    head = tl.program_id(1)
    per_head = features // heads
    for start in range(0, tl.max(degree), BLOCK_E):
        turn = start + tl.arange(0, BLOCK_E)
        valid = turn[None, :] < degree[:, None]
        position = begin[:, None] + turn[None, :]
        column = tl.load(indices + position, mask=valid, other=0).to(tl.int64)
        acc = tl.zeros((BLOCK_N, BLOCK_E, BLOCK_F), ACC)
        for first in range(0, per_head, BLOCK_F):
            inside = first + tl.arange(0, BLOCK_F)
            feature = head * per_head + inside
            entry = row[:, None] * features + feature[None, :]
            mask = (row < num_rows)[:, None] & (inside < per_head)[None, :]
            winner = tl.load(arg + entry, mask=mask, other=-1).to(tl.int64)
            upstream = tl.load(grad + entry, mask=mask, other=0.0).to(ACC)[:, None, :]
            wins = valid[:, :, None] & (winner[:, None, :] == position[:, :, None])
            value = tl.load(x + column[:, :, None] * features + feature[None, None, :], mask=wins, other=0.0)
            acc += tl.where(wins, value.to(ACC) * upstream, 0.0)
        total = tl.sum(acc, axis=2)
        tl.store(out + position * heads + head, total.to(out.dtype.element_ty), mask=valid)


def _sizes(features: int, heads: int, num_rows: int, indices: Tensor) -> tuple[int, ...]:
    return features, heads, _triton.magnitude(num_rows), _triton.magnitude(indices.shape[0])


def spmm_extremum(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    x: Tensor,
    weight: Tensor | None,
    reduce: str,
    keep_arg: bool,
) -> tuple[Tensor, Tensor]:
    num_rows, features = indptr.shape[0] - 1, x.shape[1]
    out, arg = _triton.empty(x, num_rows, features), indices.new_empty(num_rows, features)
    x, heads = x.contiguous(), 1 if weight is None else weight.shape[1]
    flags = {
        "MAX": reduce == "max",
        "WEIGHTED": weight is not None,
        "MANY_HEADS": heads > 1,
        "ACC": _triton.accumulate(x.dtype),
    }
    weight = x if weight is None else weight.contiguous()

    def launch(blocks: _triton.Blocks) -> None:
        for first, grid in blocks.grid(num_rows, triton.cdiv(features, blocks.f)):
            extremum_kernel[grid](
                indptr,
                indices,
                x,
                weight,
                out,
                arg,
                first,
                num_rows,
                features,
                heads,
                **flags,
                **blocks.flags(),
                num_warps=blocks.num_warps,
            )

    key = (*_sizes(features, heads, num_rows, indices), reduce, weight is x, x.dtype, indices.dtype)
    with _triton.on_device(x):
        _triton.tuned(extremum_kernel, _triton.candidates(features, num_rows), key, launch)
    return out.to(x.dtype), arg if keep_arg else arg.new_empty(0, features)


def spmm_extremum_grad_x(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor,
    t_indices: Tensor,
    t_edge: Tensor,
    grad: Tensor,
    arg: Tensor,
    weight: Tensor | None,
) -> Tensor:
    num_cols, features = t_indptr.shape[0] - 1, grad.shape[1]
    out = _triton.empty(grad, num_cols, features)
    grad, arg, heads = grad.contiguous(), arg.contiguous(), 1 if weight is None else weight.shape[1]
    flags = {"WEIGHTED": weight is not None, "ACC": _triton.accumulate(grad.dtype)}
    weight = grad if weight is None else weight.contiguous()

    def launch(blocks: _triton.Blocks) -> None:
        for first, grid in blocks.grid(num_cols, triton.cdiv(features, blocks.f)):
            grad_x_kernel[grid](
                t_indptr,
                t_indices,
                t_edge,
                grad,
                arg,
                weight,
                out,
                first,
                num_cols,
                features,
                heads,
                **flags,
                **blocks.flags(),
                num_warps=blocks.num_warps,
            )

    key = (*_sizes(features, heads, num_cols, t_indices), weight is grad, grad.dtype, arg.dtype)
    with _triton.on_device(grad):
        _triton.tuned(grad_x_kernel, _triton.candidates(features, num_cols), key, launch)
    return out.to(grad.dtype)


def spmm_extremum_grad_weight(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor,
    t_indices: Tensor,
    t_edge: Tensor,
    grad: Tensor,
    arg: Tensor,
    x: Tensor,
    heads: int,
) -> Tensor:
    num_rows, features = indptr.shape[0] - 1, x.shape[1]
    out = _triton.empty(x, indices.shape[0], heads)
    grad, arg, x = grad.contiguous(), arg.contiguous(), x.contiguous()
    per_head = features // max(heads, 1)

    def launch(blocks: _triton.Blocks) -> None:
        for first, grid in blocks.grid(num_rows, heads):
            grad_weight_kernel[grid](
                indptr,
                indices,
                grad,
                arg,
                x,
                out,
                first,
                num_rows,
                features,
                heads,
                ACC=_triton.accumulate(x.dtype),
                **blocks.flags(),
                num_warps=blocks.num_warps,
            )

    key = (*_sizes(per_head, heads, num_rows, indices), x.dtype, arg.dtype)
    with _triton.on_device(x):
        _triton.tuned(grad_weight_kernel, _triton.candidates(per_head, num_rows), key, launch)
    return out.to(x.dtype)


def variants() -> Iterator[_triton.Variant]:
    for value in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for index in (torch.int32, torch.int64):
            for features in (16, 128):
                blocks = _triton.blocks(features, 1)
                flags = {"ACC": _triton.accumulate(value)} | blocks.flags()
                weighted = {"WEIGHTED": True} | flags
                graph = dict.fromkeys(("indptr", "indices", "arg"), index)
                transpose = dict.fromkeys(("t_indptr", "t_indices", "t_edge", "arg"), index)
                dense = dict.fromkeys(("x", "weight", "out"), value)
                upstream = dict.fromkeys(("grad", "weight", "out"), value)
                per_edge = dict.fromkeys(("grad", "x", "out"), value)
                extremum = {"MAX": False, "MANY_HEADS": True} | weighted
                yield _triton.Variant(extremum_kernel, graph | dense, extremum, blocks.num_warps)
                yield _triton.Variant(grad_x_kernel, transpose | upstream, weighted, blocks.num_warps)
                yield _triton.Variant(grad_weight_kernel, graph | per_edge, flags, blocks.num_warps)
