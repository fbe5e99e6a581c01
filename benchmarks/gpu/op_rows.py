"""Rows of one op each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import graphkern

from .. import peers, ranking_peers, segment_peers
from ..cases import SUITES
from ..measure import LIMITS, call_of, requiring_grad
from .row import Maker, Row, Target, Work, memory_over, of_gather, over
from .world import LARGE, RMAT, STAR, UNIFORM, Values, World

PEERS = peers.PEERS | segment_peers.PEERS
ON_CPU_ONLY = ("scipy", "torch.sparse.mm reduce=", "a matmul a segment, in place")
NAIVE = {"spmm": "scatter_reduce_", "edge_softmax": "scatter_reduce_, index_add_"}  # others: ATTENTION
ATTENTION = "gather, softmax, index_add_"
SPARSE, SCATTER = "torch.sparse.mm", "scatter_reduce_"
BFLOAT16 = {"dtype": torch.bfloat16}
Arguments = tuple[tuple, dict[str, Any]]


def _name(group: str, dtype: torch.dtype, backward: bool) -> str:
    words = [group, *[str(dtype).removeprefix("torch.")] * (dtype != torch.float32)]
    return f"{' '.join(words)}, {'forward+backward' if backward else 'forward'}"


def _peers(op: str, arguments: Arguments, backward: bool, compiled: bool) -> dict[str, Maker]:
    makers = PEERS.get(op, {})
    if compiled:
        naive = makers[NAIVE.get(op, ATTENTION)]
        makers = {"compiled": lambda *args, **kwargs: ranking_peers.compiled(naive(*args, **kwargs))}
    return {
        name: lambda make=make: call_of(make, arguments, backward)
        for name, make in makers.items()
        if not name.startswith(ON_CPU_ONLY) and (compiled or not name.endswith("compiled"))
    }


def _in_float32(make: Callable, arguments: Arguments) -> Maker:
    args, kwargs = arguments
    wide = tuple(a.float() if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)
    return lambda: call_of(make, (wide, kwargs), backward=False)


def op_row(
    world: World,
    op: str,
    group: str,
    case: str,
    make_arguments: Callable[[Values], Arguments],
    *,
    backward: bool = False,
    compiled: bool = False,
    dtype: torch.dtype = torch.float32,
    main: str | None = None,
    moves: bool = True,
    gathered: int | None = None,
    targets: dict[str, Target] | None = None,
) -> Row:
    """main: operator that decides which implementations there are, the suite's first unless given.

    compiled: beside the compiled naive path alone. moves: bytes are its limit. gathered: the argument whose rows edges
    read.
    """
    suite = SUITES[op]
    ops = (main or suite.ops[0], *(name for name in suite.ops if name != main))

    def make(*args: Any, **kwargs: Any) -> Callable:
        return lambda: suite.function(*args, **kwargs)

    def work() -> Work:
        args, kwargs = make_arguments(world.values(f"{op} {case}"))
        args = tuple(a.to(dtype) if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)
        arguments = requiring_grad((args, kwargs)) if backward else (args, kwargs)
        contenders = _peers(op, arguments, backward, compiled)
        if dtype != torch.float32 and op == "spmm":
            contenders["ours in float32"] = _in_float32(make, arguments)

        def want() -> list[Tensor]:
            with graphkern.use("reference", *suite.ops), torch.set_grad_enabled(backward):
                return call_of(make, requiring_grad(arguments, torch.float64), backward)()

        done = Work(call_of(make, arguments, backward), want, contenders, LIMITS[dtype])
        if moves and not backward:
            with torch.no_grad():
                done.nbytes = suite.traffic(suite.function(*args, **kwargs), *args, **kwargs)
        if gathered is not None:
            done.gather = args[gathered].flatten(1), args[0].num_edges
        return done

    label = f"{_name(group, dtype, backward)}{', beside the compiler' if compiled else ''}"
    return Row(label, case, ops, work, targets or {f"{label}, over the fastest peer": over()})


def _spmm(world: World, name: str, depth: int, reduce: str = "sum", **options: Any) -> Row:
    extremum = reduce in ("max", "min")
    targets: dict[str, Target] = {}
    if extremum:
        targets = {"spmm max, min over the scatter path": over(SCATTER)}
    elif options.get("dtype") == torch.bfloat16:
        targets = {"spmm bfloat16 sum over ours in float32": over("ours in float32")}
    elif not options.get("backward"):
        targets = {
            "spmm float32 sum over cached cuSPARSE": over(SPARSE),
            "spmm float32 sum, share of the gather ceiling": of_gather,
        }
    else:
        targets = {"spmm float32 sum, forward+backward, over cached cuSPARSE": over(SPARSE)}
    return op_row(
        world,
        "spmm",
        f"spmm {'max, min' if extremum else reduce}",
        f"{name} F{depth}{f' {reduce}' * extremum}",
        lambda v: ((world.graph(name), v.normal(world.graph(name).num_cols, depth)), {"reduce": reduce}),
        main="spmm_extremum" if extremum else "spmm",
        gathered=None if options.get("backward") else 1,
        targets=None if options.get("compiled") else targets,
        **options,
    )


def _attention(world: World, op: str, name: str, heads: int = 4, depth: int = 16, **options: Any) -> Row:
    def make(v: Values) -> Arguments:
        adj = world.graph(name)
        rows, columns = (adj.num_rows, heads, depth), (adj.num_cols, heads, depth)
        if op == "gat_aggregate":
            return (adj, v.normal(*columns), v.normal(*columns[:2]), v.normal(*rows[:2])), {}
        if op == "gatv2_aggregate":
            return (adj, v.normal(*columns), v.normal(*rows), v.normal(heads, depth)), {}
        return (adj, v.normal(*rows), v.normal(*columns), v.normal(*columns)), {}

    targets = None
    if not options.get("compiled") and options.get("backward"):
        label = "GAT, GATv2, attention, forward+backward,"
        targets = {
            f"{label} over the naive path": over(ATTENTION),
            f"{label} peak extra memory over the naive path's": memory_over(ATTENTION),
        }
    return op_row(world, op, op, f"{name} H{heads}xD{depth}", make, targets=targets, **options)


def _softmax(world: World, name: str, heads: int, **options: Any) -> Row:
    def make(v: Values) -> Arguments:
        return (world.graph(name), v.normal(world.graph(name).num_edges, heads)), {}

    return op_row(world, "edge_softmax", "edge_softmax", f"{name} H{heads}", make, **options)


def _sddmm(world: World, name: str, depth: int) -> Row:
    def make(v: Values) -> Arguments:
        adj = world.graph(name)
        return (adj, v.normal(adj.num_rows, depth), v.normal(adj.num_cols, depth)), {}

    return op_row(world, "sddmm", "sddmm", f"{name} F{depth}", make)


def _segments(world: World, name: str, depth: int, reduce: str, **options: Any) -> Row:
    def make(v: Values) -> Arguments:
        return (v.normal(world.graph(name).num_edges, depth), world.graph(name).indptr), {"reduce": reduce}

    main = "segment_extremum" if reduce == "max" else "segment_reduce"
    group = f"segment_reduce {reduce}"
    return op_row(world, "segment_reduce", group, f"{name} F{depth}", make, main=main, **options)


def _scatter(world: World, name: str, depth: int, reduce: str, **options: Any) -> Row:
    """The rows of the edges in a random order."""

    def make(v: Values) -> Arguments:
        adj = world.graph(name)
        index = adj.row_index()[torch.randperm(adj.num_edges, generator=v.generator, device=world.device)]
        return (v.normal(adj.num_edges, depth), index, adj.num_rows), {"reduce": reduce}

    main = "scatter_extremum" if reduce == "max" else "scatter_reduce"
    group = f"scatter_reduce {reduce}"
    return op_row(world, "scatter_reduce", group, f"{name} F{depth}", make, main=main, **options)


def _gather_csr(world: World, name: str, depth: int) -> Row:
    def make(v: Values) -> Arguments:
        adj = world.graph(name)
        return (v.normal(adj.num_rows, depth), adj.indptr), {"output_size": adj.num_edges}

    return op_row(world, "gather_csr", "gather_csr", f"{name} F{depth}", make)


def _matmul(world: World, segments: int, depth: int, **options: Any) -> Row:
    """200k rows in segments of random size."""

    def make(v: Values) -> Arguments:
        num_rows = world.size(200_000, 200)
        share = v.normal(segments).abs().cumsum(0)
        ends = (share / share[-1] * num_rows).round().int()
        indptr = torch.cat([ends.new_zeros(1), ends])
        return (v.normal(num_rows, depth), indptr, v.normal(segments, depth, depth) / depth**0.5), {}

    case = f"200k rows, {segments} segments, F{depth}"
    return op_row(world, "segment_matmul", "segment_matmul", case, make, moves=False, **options)


def rows(world: World) -> Iterator[Row]:
    """Those with a goal first."""
    sums = ((LARGE, 64), (LARGE, 128), (RMAT, 32), (RMAT, 64), (RMAT, 128), (UNIFORM, 64), (UNIFORM, 256), (STAR, 64))
    yield from (_spmm(world, name, depth) for name, depth in sums)
    yield from (_spmm(world, name, depth, **BFLOAT16) for name, depth in sums if depth >= 64)
    yield from (_spmm(world, name, 64, "max") for name in (LARGE, RMAT, UNIFORM, STAR))
    yield from (_spmm(world, name, 64, "min", backward=True) for name in (RMAT, UNIFORM))
    for op in ("gat_aggregate", "gatv2_aggregate", "attention_aggregate"):
        yield from (_attention(world, op, name, backward=True) for name in (UNIFORM, RMAT))
        yield _attention(world, op, RMAT)
    yield from (_spmm(world, name, 64, backward=True) for name in (RMAT, UNIFORM))
    yield from (_softmax(world, name, heads) for name, heads in ((RMAT, 1), (RMAT, 4), (UNIFORM, 8)))
    yield _softmax(world, RMAT, 4, backward=True)
    for reduce in ("sum", "mean", "max"):
        yield _segments(world, RMAT, 64, reduce)
        yield _scatter(world, RMAT, 64, reduce)
    yield _segments(world, RMAT, 4, "sum")
    yield _scatter(world, RMAT, 4, "sum")
    yield _scatter(world, STAR, 64, "sum")
    yield from (_matmul(world, segments, 64) for segments in (4, 100, 2000))
    yield _matmul(world, 100, 128, **BFLOAT16)
    yield _matmul(world, 100, 64, backward=True)
    yield _sddmm(world, RMAT, 64)
    yield _gather_csr(world, RMAT, 16)
    yield _attention(world, "gat_aggregate", UNIFORM, backward=True, **BFLOAT16)


def compiled_rows(world: World) -> Iterator[Row]:
    """Those beside torch.compile, which takes its time."""
    yield _spmm(world, UNIFORM, 64, compiled=True)
    yield _spmm(world, UNIFORM, 64, "max", compiled=True)
    for op in ("gat_aggregate", "gatv2_aggregate"):
        yield _attention(world, op, UNIFORM, backward=True, compiled=True)
    yield _softmax(world, UNIFORM, 4, compiled=True)
