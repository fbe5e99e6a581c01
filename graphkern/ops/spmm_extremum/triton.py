from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton


# A program owns one row and BLOCK_F features. Lane (e, f) keeps the best of every BLOCK_E-th edge and where it was;
# among the lanes the first edge with a NaN wins, else the first edge with the largest key.
@triton.jit
def extremum_kernel(
    indptr,
    indices,
    x,
    weight,
    out,
    arg,
    first_row,
    features,
    heads,
    MAX: tl.constexpr,
    WEIGHTED: tl.constexpr,
    MANY_HEADS: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    row = first_row + tl.program_id(0).to(tl.int64)
    begin = tl.load(indptr + row).to(tl.int64)
    end = tl.load(indptr + row + 1).to(tl.int64)
    feature = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    real = feature < features
    head = feature // (features // heads)
    best = tl.full((BLOCK_E, BLOCK_F), float("-inf"), ACC)
    where = tl.full((BLOCK_E, BLOCK_F), -1, tl.int64)
    for start in range(begin, end, BLOCK_E):
        position = start + tl.arange(0, BLOCK_E)
        valid = position < end
        both = valid[:, None] & real[None, :]
        column = tl.load(indices + position, mask=valid, other=0).to(tl.int64)
        key = tl.load(x + column[:, None] * features + feature[None, :], mask=both, other=0.0).to(ACC)
        if WEIGHTED:
            if MANY_HEADS:
                per_head = tl.load(weight + position[:, None] * heads + head[None, :], mask=both, other=0.0)
                key *= per_head.to(ACC)
            else:
                key *= tl.load(weight + position, mask=valid, other=0.0).to(ACC)[:, None]
        if not MAX:
            key = -key
        better = (where < 0) | (key > best) | ((key != key) & (best == best))
        take = both & better
        best = tl.where(take, key, best)
        where = tl.where(take, position[:, None], where)
    is_nan = (best != best).to(tl.int32)
    has_nan = tl.max(is_nan, axis=0)
    top = tl.max(tl.where(is_nan == 1, float("-inf"), best), axis=0)
    wins = tl.where(has_nan[None, :] == 1, is_nan == 1, best == top[None, :]) & (where >= 0)
    first = tl.min(tl.where(wins, where, end), axis=0)
    value = tl.where(has_nan == 1, float("nan"), top)
    if not MAX:
        value = -value
    if begin == end:
        value = tl.zeros((BLOCK_F,), ACC)
        first = tl.full((BLOCK_F,), -1, tl.int64)
    tl.store(out + row * features + feature, value.to(out.dtype.element_ty), mask=real)
    tl.store(arg + row * features + feature, first.to(arg.dtype.element_ty), mask=real)


# A program owns one column of the graph, which is a row of the transpose, and BLOCK_F features.
@triton.jit
def grad_x_kernel(
    t_indptr,
    t_indices,
    t_edge,
    grad,
    arg,
    weight,
    out,
    first_row,
    features,
    heads,
    WEIGHTED: tl.constexpr,
    MANY_HEADS: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    column = first_row + tl.program_id(0).to(tl.int64)
    begin = tl.load(t_indptr + column).to(tl.int64)
    end = tl.load(t_indptr + column + 1).to(tl.int64)
    feature = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    real = feature < features
    head = feature // (features // heads)
    acc = tl.zeros((BLOCK_E, BLOCK_F), ACC)
    for start in range(begin, end, BLOCK_E):
        position = start + tl.arange(0, BLOCK_E)
        valid = position < end
        both = valid[:, None] & real[None, :]
        row = tl.load(t_indices + position, mask=valid, other=0).to(tl.int64)
        edge = tl.load(t_edge + position, mask=valid, other=0).to(tl.int64)
        entry = row[:, None] * features + feature[None, :]
        winner = tl.load(arg + entry, mask=both, other=-1).to(tl.int64)
        wins = both & (winner == edge[:, None])
        value = tl.load(grad + entry, mask=wins, other=0.0).to(ACC)
        if WEIGHTED:
            if MANY_HEADS:
                per_head = tl.load(weight + edge[:, None] * heads + head[None, :], mask=wins, other=0.0)
            else:
                per_head = tl.load(weight + edge[:, None] + head[None, :] * 0, mask=wins, other=0.0)
            value *= per_head.to(ACC)
        acc += value
    total = tl.sum(acc, axis=0)
    tl.store(out + column * features + feature, total.to(out.dtype.element_ty), mask=real)


# A program owns the edges of one row, for one head.
@triton.jit
def grad_weight_kernel(
    indptr,
    indices,
    grad,
    arg,
    x,
    out,
    first_row,
    features,
    heads,
    ACC: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    row = first_row + tl.program_id(0).to(tl.int64)
    begin = tl.load(indptr + row).to(tl.int64)
    end = tl.load(indptr + row + 1).to(tl.int64)
    head = tl.program_id(1)
    per_head = features // heads
    for start in range(begin, end, BLOCK_E):
        position = start + tl.arange(0, BLOCK_E)
        valid = position < end
        column = tl.load(indices + position, mask=valid, other=0).to(tl.int64)
        acc = tl.zeros((BLOCK_E, BLOCK_F), ACC)
        for first in range(0, per_head, BLOCK_F):
            inside = first + tl.arange(0, BLOCK_F)
            real = inside < per_head
            feature = head * per_head + inside
            winner = tl.load(arg + row * features + feature, mask=real, other=-1).to(tl.int64)
            upstream = tl.load(grad + row * features + feature, mask=real, other=0.0).to(ACC)
            wins = valid[:, None] & (winner[None, :] == position[:, None])
            value = tl.load(x + column[:, None] * features + feature[None, :], mask=wins, other=0.0).to(ACC)
            acc += tl.where(wins, value * upstream[None, :], 0.0)
        total = tl.sum(acc, axis=1)
        tl.store(out + position * heads + head, total.to(out.dtype.element_ty), mask=valid)


def spmm_extremum(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    x: Tensor,
    weight: Tensor | None,
    reduce: str,
) -> tuple[Tensor, Tensor]:
    num_rows, features = indptr.shape[0] - 1, x.shape[1]
    out, arg = _triton.empty(x, num_rows, features), indices.new_empty(num_rows, features)
    block_e, block_f, num_warps = _triton.blocks(features)
    heads = 1 if weight is None else weight.shape[1]
    x, weighted = x.contiguous(), weight is not None
    weight = x if weight is None else weight.contiguous()
    with _triton.on_device(x):
        for first, count in _triton.row_slices(num_rows if features else 0):
            extremum_kernel[count, triton.cdiv(features, block_f)](
                indptr,
                indices,
                x,
                weight,
                out,
                arg,
                first,
                features,
                heads,
                MAX=reduce == "max",
                WEIGHTED=weighted,
                MANY_HEADS=heads > 1,
                ACC=_triton.accumulate(x.dtype),
                BLOCK_E=block_e,
                BLOCK_F=block_f,
                num_warps=num_warps,
            )
    return out.to(x.dtype), arg


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
    block_e, block_f, num_warps = _triton.blocks(features)
    heads = 1 if weight is None else weight.shape[1]
    grad, arg, weighted = grad.contiguous(), arg.contiguous(), weight is not None
    weight = grad if weight is None else weight.contiguous()
    with _triton.on_device(grad):
        for first, count in _triton.row_slices(num_cols if features else 0):
            grad_x_kernel[count, triton.cdiv(features, block_f)](
                t_indptr,
                t_indices,
                t_edge,
                grad,
                arg,
                weight,
                out,
                first,
                features,
                heads,
                WEIGHTED=weighted,
                MANY_HEADS=heads > 1,
                ACC=_triton.accumulate(grad.dtype),
                BLOCK_E=block_e,
                BLOCK_F=block_f,
                num_warps=num_warps,
            )
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
    block_e, block_f, num_warps = _triton.blocks(features // max(heads, 1))
    grad, arg, x = grad.contiguous(), arg.contiguous(), x.contiguous()
    with _triton.on_device(x):
        for first, count in _triton.row_slices(num_rows if heads else 0):
            grad_weight_kernel[count, heads](
                indptr,
                indices,
                grad,
                arg,
                x,
                out,
                first,
                features,
                heads,
                ACC=_triton.accumulate(x.dtype),
                BLOCK_E=block_e,
                BLOCK_F=block_f,
                num_warps=num_warps,
            )
    return out.to(x.dtype)


def variants() -> Iterator[_triton.Variant]:
    block_e, block_f, num_warps = _triton.blocks(128)
    for value in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for index in (torch.int32, torch.int64):
            graph = dict.fromkeys(("indptr", "indices"), index)
            transpose = dict.fromkeys(("t_indptr", "t_indices", "t_edge"), index)
            dense = dict.fromkeys(("x", "weight", "out"), value) | {"arg": index}
            upstream = dict.fromkeys(("grad", "weight", "out"), value) | {"arg": index}
            per_edge = dict.fromkeys(("grad", "x", "out"), value) | {"arg": index}
            blocks = {"ACC": _triton.accumulate(value), "BLOCK_E": block_e, "BLOCK_F": block_f}
            flags = {"WEIGHTED": True, "MANY_HEADS": True} | blocks
            yield _triton.Variant(extremum_kernel, graph | dense, {"MAX": False} | flags, num_warps)
            yield _triton.Variant(grad_x_kernel, transpose | upstream, flags, num_warps)
            yield _triton.Variant(grad_weight_kernel, graph | per_edge, blocks, num_warps)
