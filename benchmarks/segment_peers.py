"""What a user would call without graphkern for the functions that take no graph. See peers.py."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from graphkern import CSR

from .graphs import Absent
from .peers import AMAX, register, scatter_rows, torch_scatter
from .timing import Call

PEERS: dict[str, dict[str, Callable[..., Call]]] = {}
peer = functools.partial(register, PEERS)


def _without_infinities(out: Tensor, empty: Tensor) -> Tensor:
    return out.masked_fill(empty.view(-1, *[1] * (out.dim() - 1)), 0)


@peer("segment_reduce", "torch.segment_reduce")
def _segment_reduce(src: Tensor, indptr: Tensor, reduce: str = "sum", dim: int = 0) -> Call:
    offsets, empty = indptr.long(), indptr[1:] == indptr[:-1]
    has_empty = bool(empty.any())

    def call() -> Tensor:
        out = torch.segment_reduce(src, reduce, offsets=offsets, axis=dim, unsafe=True)
        return _without_infinities(out, empty) if has_empty and reduce != "sum" else out

    return call


@peer("segment_reduce", "torch_scatter.segment_csr")
def _segment_csr(src: Tensor, indptr: Tensor, reduce: str = "sum", dim: int = 0) -> Call:
    segment_csr, ptr = torch_scatter().segment_csr, indptr.long().view(*[1] * dim, -1)
    return lambda: segment_csr(src, ptr, reduce=reduce)


@peer("segment_reduce", "index_add_, scatter_reduce_")
def _segment_scatter(src: Tensor, indptr: Tensor, reduce: str = "sum", dim: int = 0) -> Call:
    if dim:
        raise Absent("only dim 0")
    row = torch.repeat_interleave(indptr.diff().long())
    num_rows = indptr.numel() - 1
    if reduce == "sum":
        return lambda: src.new_zeros(num_rows, *src.shape[1:]).index_add_(0, row, src)
    return lambda: scatter_rows(src, row, num_rows, reduce)


@peer("scatter_reduce", "index_add_")
def _index_add_sum(src: Tensor, index: Tensor, dim_size: int, reduce: str = "sum", dim: int = 0) -> Call:
    if reduce != "sum":
        raise Absent("only sums")
    shape, index = [*src.shape[:dim], dim_size, *src.shape[dim + 1 :]], index.long()
    return lambda: src.new_zeros(shape).index_add_(dim, index, src)


@peer("scatter_reduce", "scatter_reduce_")
def _scatter_any(src: Tensor, index: Tensor, dim_size: int, reduce: str = "sum", dim: int = 0) -> Call:
    shape = [*src.shape[:dim], dim_size, *src.shape[dim + 1 :]]
    wide = index.long().view(*[1] * dim, -1, *[1] * (src.dim() - dim - 1)).expand_as(src)
    how = AMAX.get(reduce, reduce)
    return lambda: src.new_zeros(shape).scatter_reduce(dim, wide, src, how, include_self=False)


@peer("scatter_reduce", "torch_scatter.scatter")
def _torch_scatter(src: Tensor, index: Tensor, dim_size: int, reduce: str = "sum", dim: int = 0) -> Call:
    scatter, index = torch_scatter().scatter, index.long()
    return lambda: scatter(src, index, dim, dim_size=dim_size, reduce=reduce)


@peer("gather_csr", "repeat_interleave")
def _repeat(src: Tensor, indptr: Tensor, dim: int = 0, output_size: int | None = None) -> Call:
    counts = indptr.diff().long()
    return lambda: torch.repeat_interleave(src, counts, dim, output_size=output_size)


@peer("gather_csr", "index_select")
def _select(src: Tensor, indptr: Tensor, dim: int = 0, output_size: int | None = None) -> Call:
    row = torch.repeat_interleave(indptr.diff().long())
    return lambda: src.index_select(dim, row)


@peer("gather_csr", "torch_scatter.gather_csr")
def _gather_csr(src: Tensor, indptr: Tensor, dim: int = 0, output_size: int | None = None) -> Call:
    gather_csr, ptr = torch_scatter().gather_csr, indptr.long().view(*[1] * dim, -1)
    return lambda: gather_csr(src, ptr)


@peer("segment_matmul", "a matmul a segment")
def _matmuls(x: Tensor, indptr: Tensor, weight: Tensor) -> Call:
    sizes = indptr.diff().tolist()
    return lambda: torch.cat([part @ w for part, w in zip(x.split(sizes), weight, strict=True)])


@peer("segment_matmul", "a matmul a segment, in place")
def _matmuls_in_place(x: Tensor, indptr: Tensor, weight: Tensor) -> Call:
    if x.requires_grad:
        raise Absent("no gradient")
    bounds = indptr.tolist()

    def call() -> Tensor:
        out = x.new_empty(x.shape[0], weight.shape[2])
        for segment, (begin, end) in enumerate(itertools.pairwise(bounds)):
            torch.mm(x[begin:end], weight[segment], out=out[begin:end])
        return out

    return call


@peer("info_nce", "matmul, cross_entropy")
def _cross_entropy(query: Tensor, key: Tensor, target: Tensor | None, temperature: float, bias: Tensor | None) -> Call:
    if target is None:
        target = torch.arange(query.shape[0])
    offset = 0 if bias is None else bias
    return lambda: functional.cross_entropy(query @ key.T / temperature + offset, target, reduction="none")


@peer("topk_scores", "matmul, mask, topk")
def _matmul_topk(query: Tensor, item: Tensor, k: int, exclude: CSR | None = None) -> Call:
    def call() -> tuple[Tensor, Tensor]:
        scores = query @ item.T
        if exclude is not None:
            scores[exclude.row_index().long(), exclude.indices.long()] = -torch.inf
        values, index = scores.topk(k)
        return values, index

    return call


@peer("counting_sort", "bincount, argsort")
def _argsort(index: Tensor, num_bins: int) -> Call:
    def call() -> tuple[Tensor, Tensor]:
        count = torch.bincount(index, minlength=num_bins).cumsum(0)
        return torch.cat([count.new_zeros(1), count]), torch.argsort(index, stable=True)

    return call
