from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton


# A program owns one row and BLOCK_F features. Lane (e, f) sums every BLOCK_E-th edge; the lanes are added last.
@triton.jit
def spmm_kernel(
    indptr,
    indices,
    edge,
    x,
    weight,
    out,
    first_row,
    features,
    heads,
    MEAN: tl.constexpr,
    WEIGHTED: tl.constexpr,
    MANY_HEADS: tl.constexpr,
    PERMUTED: tl.constexpr,
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
    acc = tl.zeros((BLOCK_E, BLOCK_F), ACC)
    for start in range(begin, end, BLOCK_E):
        position = start + tl.arange(0, BLOCK_E)
        valid = position < end
        both = valid[:, None] & real[None, :]
        column = tl.load(indices + position, mask=valid, other=0).to(tl.int64)
        value = tl.load(x + column[:, None] * features + feature[None, :], mask=both, other=0.0).to(ACC)
        if WEIGHTED:
            if PERMUTED:
                position = tl.load(edge + position, mask=valid, other=0).to(tl.int64)
            if MANY_HEADS:
                per_head = tl.load(weight + position[:, None] * heads + head[None, :], mask=both, other=0.0)
                value *= per_head.to(ACC)
            else:
                value *= tl.load(weight + position, mask=valid, other=0.0).to(ACC)[:, None]
        acc += value
    total = tl.sum(acc, axis=0)
    if MEAN:
        total /= tl.maximum(end - begin, 1).to(ACC)
    tl.store(out + row * features + feature, total.to(out.dtype.element_ty), mask=real)


def spmm(
    indptr: Tensor,
    indices: Tensor,
    edge: Tensor | None,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    x: Tensor,
    weight: Tensor | None,
    reduce: str,
) -> Tensor:
    num_rows, features = indptr.shape[0] - 1, x.shape[1]
    out = _triton.empty(x, num_rows, features)
    block_e, block_f, num_warps = _triton.blocks(features)
    heads = 1 if weight is None else weight.shape[1]
    x = x.contiguous()
    flags = {
        "MEAN": reduce == "mean",
        "WEIGHTED": weight is not None,
        "MANY_HEADS": heads > 1,
        "PERMUTED": edge is not None,
        "ACC": _triton.accumulate(x.dtype),
    }
    edge = indices if edge is None else edge
    weight = x if weight is None else weight.contiguous()
    with _triton.on_device(x):
        for first, count in _triton.row_slices(num_rows if features else 0):
            spmm_kernel[count, triton.cdiv(features, block_f)](
                indptr,
                indices,
                edge,
                x,
                weight,
                out,
                first,
                features,
                heads,
                **flags,
                BLOCK_E=block_e,
                BLOCK_F=block_f,
                num_warps=num_warps,
            )
    return out.to(x.dtype)


def variants() -> Iterator[_triton.Variant]:
    for value in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for index in (torch.int32, torch.int64):
            for weighted, many_heads, features in ((False, False, 128), (True, False, 16), (True, True, 128)):
                block_e, block_f, num_warps = _triton.blocks(features)
                flags = {"MEAN": True, "WEIGHTED": weighted, "MANY_HEADS": many_heads, "PERMUTED": weighted}
                blocks = {"ACC": _triton.accumulate(value), "BLOCK_E": block_e, "BLOCK_F": block_f}
                pointers = dict.fromkeys(("indptr", "indices", "edge"), index)
                pointers |= dict.fromkeys(("x", "weight", "out"), value)
                yield _triton.Variant(spmm_kernel, pointers, flags | blocks, num_warps)
