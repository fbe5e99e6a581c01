"""Which inputs each op is timed on: ops x graphs x widths. Full mode (GRAPHKERN_BENCH_FULL=1) adds the rest of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkern import CSR
from graphkern.ops._case import Suite, suites

from .graphs import graph
from .timing import FULL

SUITES: dict[str, Suite] = {suite.name: suite for suite in suites()}
WIDTHS = (16, 32, 64, 128, 256)
HEADS = ((1, 64), (4, 16), (8, 8))
GRAPHS = ("gowalla", "lastfm", "uniform-200k-x15", "rmat-1M-10M", "star-1M", "empty-rows")
ATTENTION = ("gat_aggregate", "gatv2_aggregate", "attention_aggregate")
Arguments = tuple[tuple, dict[str, Any]]


class Inputs:
    """Makes the inputs of one case: float32 and int32, the same values in every run."""

    def __init__(self, name: str, small: bool) -> None:
        self.small = small
        self._generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def graph(self, name: str) -> CSR:
        return graph(name, self.small)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator)

    def shuffled(self, index: Tensor) -> Tensor:
        return index[torch.randperm(index.numel(), generator=self._generator)]


@dataclass(frozen=True)
class BenchCase:
    """One input of one public function.

    make: Inputs -> (positional arguments, keyword arguments).
    target: what its ratios count for, see report.py.
    graph: its name where rows are gathered by a graph, for the gather ceiling.
    dtype, index_dtype: what make's float32 and int32 become.
    """

    op: str
    name: str
    make: Callable[[Inputs], Arguments]
    target: str | None = None
    graph: str | None = None
    dtype: torch.dtype = torch.float32
    index_dtype: torch.dtype = torch.int32

    def arguments(self, small: bool) -> Arguments:
        args, kwargs = self.make(Inputs(self.name, small))
        return tuple(self._cast(arg) for arg in args), kwargs

    def _cast(self, value: Any) -> Any:
        if isinstance(value, CSR) and self.index_dtype != value.dtype:
            value = value.to(dtype=self.index_dtype)
            value.tensors(transpose=True)
        return value.to(self.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"


def _features(heads: int, depth: int) -> tuple[int, ...]:
    return (heads, depth) if heads else (depth,)


def _shape(heads: int, depth: int) -> str:
    return f"H{heads}xD{depth}" if heads else f"F{depth}"


def _spmm(
    name: str, depth: int, reduce: str = "sum", *, heads: int = 0, weighted: bool = False, label: str = "", **options
) -> BenchCase:
    """heads: x is [M, heads, depth] and the weight [E, heads]."""

    def make(inputs: Inputs) -> Arguments:
        adj = inputs.graph(name)
        x = inputs.normal(adj.num_cols, *_features(heads, depth))
        if not heads and not weighted:
            return (adj, x), {"reduce": reduce}
        return (adj, x, inputs.normal(adj.num_edges, *[heads] * bool(heads))), {"reduce": reduce}

    options.setdefault("target", {"sum": "spmm sum", "mean": "spmm mean"}.get(reduce, "spmm max, min"))
    name_parts = [name, _shape(heads, depth), reduce, *["weighted"] * weighted, *[label] * bool(label)]
    return BenchCase("spmm", "-".join(name_parts), make, graph=name, **options)


def _sddmm(name: str, depth: int, heads: int = 0) -> BenchCase:
    def make(inputs: Inputs) -> Arguments:
        adj, shape = inputs.graph(name), _features(heads, depth)
        return (adj, inputs.normal(adj.num_rows, *shape), inputs.normal(adj.num_cols, *shape)), {}

    return BenchCase("sddmm", f"{name}-{_shape(heads, depth)}", make, "sddmm", name)


def _softmax(name: str, heads: int) -> BenchCase:
    def make(inputs: Inputs) -> Arguments:
        adj = inputs.graph(name)
        return (adj, inputs.normal(adj.num_edges, heads)), {}

    return BenchCase("edge_softmax", f"{name}-H{heads}", make, "edge_softmax")


def _attention(op: str, name: str, heads: int, depth: int) -> BenchCase:
    def make(inputs: Inputs) -> Arguments:
        adj = inputs.graph(name)
        rows, columns = (adj.num_rows, heads, depth), (adj.num_cols, heads, depth)
        if op == "gat_aggregate":
            return (adj, inputs.normal(*columns), inputs.normal(*columns[:2]), inputs.normal(*rows[:2])), {}
        if op == "gatv2_aggregate":
            return (adj, inputs.normal(*columns), inputs.normal(*rows), inputs.normal(heads, depth)), {}
        return (adj, inputs.normal(*rows), inputs.normal(*columns), inputs.normal(*columns)), {}

    return BenchCase(op, f"{name}-{_shape(heads, depth)}", make, op, name if op != "attention_aggregate" else None)


def _segment_reduce(name: str, depth: int, reduce: str) -> BenchCase:
    def make(inputs: Inputs) -> Arguments:
        adj = inputs.graph(name)
        return (inputs.normal(adj.num_edges, depth), adj.indptr), {"reduce": reduce}

    return BenchCase("segment_reduce", f"{name}-F{depth}-{reduce}", make, "segment_reduce")


def _scatter_reduce(name: str, depth: int, reduce: str, dim: int = 0) -> BenchCase:
    """The rows of the edges in a random order; on dim 1 two planes of them."""

    def make(inputs: Inputs) -> Arguments:
        adj = inputs.graph(name)
        src = inputs.normal(*[2] * dim, adj.num_edges, depth)
        return (src, inputs.shuffled(adj.row_index()), adj.num_rows), {"reduce": reduce, "dim": dim}

    target = f"scatter_reduce {reduce}, dim {dim}"
    return BenchCase("scatter_reduce", f"{name}-F{depth}-{reduce}-dim{dim}", make, target)


def _gather_csr(name: str, depth: int) -> BenchCase:
    def make(inputs: Inputs) -> Arguments:
        adj = inputs.graph(name)
        return (inputs.normal(adj.num_rows, depth), adj.indptr), {}

    return BenchCase("gather_csr", f"{name}-F{depth}", make, "gather_csr")


def _segment_matmul(num_segments: int, depth: int) -> BenchCase:
    """200k rows in segments of random size."""

    def make(inputs: Inputs) -> Arguments:
        num_rows = 200 if inputs.small else 200_000
        share = inputs.normal(num_segments).abs().cumsum(0)
        ends = (share / share[-1] * num_rows).round().int()
        indptr = torch.cat([ends.new_zeros(1), ends])
        return (inputs.normal(num_rows, depth), indptr, inputs.normal(num_segments, depth, depth)), {}

    return BenchCase("segment_matmul", f"200k-S{num_segments}-F{depth}", make, "segment_matmul")


def _chosen() -> list[BenchCase]:
    gowalla, lastfm, uniform, rmat, star, empty = GRAPHS
    bf16 = {"dtype": torch.bfloat16, "target": "spmm bfloat16, against ours in float32", "label": "bfloat16"}
    return [
        *(_spmm(gowalla, width) for width in WIDTHS),
        *(_spmm(uniform, width) for width in (16, 64, 128)),
        *(_spmm(rmat, width) for width in (16, 64)),
        *(_spmm(name, 64) for name in (lastfm, star, empty)),
        _spmm(gowalla, 64, weighted=True),
        *(_spmm(gowalla, depth, heads=heads) for heads, depth in HEADS[1:]),
        _spmm(uniform, 16, heads=4),
        _spmm(gowalla, 64, index_dtype=torch.int64, label="int64"),
        *(_spmm(name, 64, "mean") for name in (gowalla, lastfm, uniform, star, empty)),
        *(_spmm(name, 64, "max") for name in (gowalla, lastfm, uniform, rmat, star, empty)),
        *(_spmm(name, 64, "min") for name in (gowalla, uniform)),
        *(_spmm(name, width, **bf16) for name, width in ((gowalla, 256), (uniform, 64), (uniform, 128), (rmat, 64))),
        *(_sddmm(gowalla, width) for width in (16, 64, 256)),
        *(_sddmm(gowalla, depth, heads) for heads, depth in HEADS[1:]),
        *(_sddmm(name, 64) for name in (lastfm, uniform, rmat, star, empty)),
        _sddmm(uniform, 16, 4),
        *(_softmax(name, heads) for name in (gowalla, uniform) for heads in (1, 4, 8)),
        *(_softmax(name, 4) for name in (lastfm, rmat, star, empty)),
        *(_attention(op, name, 4, 16) for op in ATTENTION for name in (gowalla, uniform)),
        *(_attention(ATTENTION[0], gowalla, heads, depth) for heads, depth in (HEADS[0], HEADS[2])),
        _attention(ATTENTION[0], star, 4, 16),
        *(_segment_reduce(gowalla, width, "sum") for width in (16, 64)),
        *(_segment_reduce(gowalla, 64, reduce) for reduce in ("mean", "max", "min")),
        *(_segment_reduce(name, 16, reduce) for name in (uniform, rmat) for reduce in ("sum", "max")),
        *(_segment_reduce(name, 64, "sum") for name in (lastfm, star, empty)),
        *(_scatter_reduce(gowalla, width, "sum") for width in (16, 64)),
        *(_scatter_reduce(gowalla, 64, reduce) for reduce in ("mean", "max")),
        *(_scatter_reduce(name, 16, "sum") for name in (uniform, rmat)),
        *(_scatter_reduce(name, 64, "sum") for name in (lastfm, star, empty)),
        _scatter_reduce(gowalla, 16, "sum", dim=1),
        *(_gather_csr(gowalla, width) for width in (16, 64)),
        *(_gather_csr(name, 16) for name in (uniform, star)),
        *(_segment_matmul(segments, 64) for segments in (4, 100, 2000)),
    ]


def _rest() -> list[BenchCase]:
    reduces = ("sum", "mean", "max", "min")
    return [
        *(_spmm(name, width, reduce) for name in GRAPHS for width in WIDTHS for reduce in reduces),
        *(_spmm(name, depth, heads=heads) for name in GRAPHS for heads, depth in HEADS),
        *(_sddmm(name, width) for name in GRAPHS for width in WIDTHS),
        *(_sddmm(name, depth, heads) for name in GRAPHS for heads, depth in HEADS),
        *(_softmax(name, heads) for name in GRAPHS for heads, _ in HEADS),
        *(_attention(op, name, *shape) for op in ATTENTION for name in GRAPHS for shape in HEADS),
        *(_segment_reduce(name, 64, reduce) for name in GRAPHS for reduce in reduces),
        *(_scatter_reduce(name, 64, reduce) for name in GRAPHS for reduce in reduces),
        *(_gather_csr(name, 64) for name in GRAPHS),
    ]


def _declared(suite: Suite) -> list[BenchCase]:
    """The bench cases beside the op, in int64; small, its first one."""

    def make(case):
        return lambda inputs: (suite.cases[0] if inputs.small else case).arguments(torch.float32)

    return [BenchCase(suite.name, case.name, make(case), index_dtype=torch.int64) for case in suite.cases if case.bench]


def cases() -> list[BenchCase]:
    """Every case that this run has, by op; one for each name."""
    listed = _chosen() + (_rest() if FULL else []) + [case for suite in SUITES.values() for case in _declared(suite)]
    return sorted({str(case): case for case in listed}.values(), key=lambda case: case.op)
