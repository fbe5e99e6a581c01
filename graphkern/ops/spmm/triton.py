from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton


# A program owns BLOCK_N rows and BLOCK_F features. Lane (n, e, f) sums every BLOCK_E-th edge of its row; the lanes of a
# row are added last.
@triton.jit
def spmm_kernel(
    indptr,
    indices,
    edge,
    x,
    weight,
    out,
    first_row,
    num_rows,
    features,
    heads,
    MEAN: tl.constexpr,
    WEIGHTED: tl.constexpr,
    MANY_HEADS: tl.constexpr,
    PERMUTED: tl.constexpr,
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
    acc = tl.zeros((BLOCK_N, BLOCK_E, BLOCK_F), ACC)
    for start in range(0, tl.max(degree), BLOCK_E):
        turn = start + tl.arange(0, BLOCK_E)
        valid = turn[None, :] < degree[:, None]
        position = begin[:, None] + turn[None, :]
        column = tl.load(indices + position, mask=valid, other=0).to(tl.int64)
        both = valid[:, :, None] & real[None, None, :]
        value = tl.load(x + column[:, :, None] * features + feature[None, None, :], mask=both, other=0.0).to(ACC)
        if WEIGHTED:
            if PERMUTED:
                position = tl.load(edge + position, mask=valid, other=0).to(tl.int64)
            if MANY_HEADS:
                entry = position[:, :, None] * heads + head[None, None, :]
                value *= tl.load(weight + entry, mask=both, other=0.0).to(ACC)
            else:
                value *= tl.load(weight + position, mask=valid, other=0.0).to(ACC)[:, :, None]
        acc += value
    total = tl.sum(acc, axis=1)
    if MEAN:
        total /= tl.maximum(degree, 1).to(ACC)[:, None]
    target = out + row[:, None] * features + feature[None, :]
    tl.store(target, total.to(out.dtype.element_ty), mask=(row < num_rows)[:, None] & real[None, :])


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
    x, out = x.contiguous(), _triton.empty(x, num_rows, features)
    heads = 1 if weight is None else weight.shape[1]
    flags = {
        "MEAN": reduce == "mean",
        "WEIGHTED": weight is not None,
        "MANY_HEADS": heads > 1,
        "PERMUTED": edge is not None,
        "ACC": _triton.accumulate(x.dtype),
    }
    edge = indices if edge is None else edge
    weight = x if weight is None else weight.contiguous()

    def launch(blocks: _triton.Blocks) -> None:
        for first, grid in blocks.grid(num_rows, triton.cdiv(features, blocks.f)):
            spmm_kernel[grid](
                indptr,
                indices,
                edge,
                x,
                weight,
                out,
                first,
                num_rows,
                features,
                heads,
                **flags,
                **blocks.flags(),
                num_warps=blocks.num_warps,
            )

    sizes = (features, heads, _triton.magnitude(num_rows), _triton.magnitude(indices.shape[0]))
    key = (*sizes, reduce, weight is x, x.dtype, indices.dtype)
    with _triton.on_device(x):
        _triton.tuned(spmm_kernel, _triton.candidates(features, num_rows), key, launch)
    return out.to(x.dtype)


def variants() -> Iterator[_triton.Variant]:
    for value in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for index in (torch.int32, torch.int64):
            for weighted, many_heads, features in ((False, False, 128), (True, False, 16), (True, True, 128)):
                blocks = _triton.blocks(features, 1)
                flags = {"MEAN": True, "WEIGHTED": weighted, "MANY_HEADS": many_heads, "PERMUTED": weighted}
                flags |= {"ACC": _triton.accumulate(value)} | blocks.flags()
                pointers = dict.fromkeys(("indptr", "indices", "edge"), index)
                pointers |= dict.fromkeys(("x", "weight", "out"), value)
                yield _triton.Variant(spmm_kernel, pointers, flags, blocks.num_warps)
