"""Every op on its cases beside what a user would call otherwise, forward and with its gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import graphkern
from graphkern._op import OPS

from . import peers, segment_peers
from .cases import SUITES, BenchCase, cases
from .ceilings import copy_gbps, gather_ceilings, last_level_cache
from .graphs import Absent
from .measure import LIMITS, Result, call_of, measure, relative_error, requiring_grad, row_of
from .timing import SMOKE

DIRECTIONS = ("forward", "forward+backward")
GATHERED = {"spmm": 1, "sddmm": 2, "gat_aggregate": 1, "gatv2_aggregate": 1}  # argument whose rows edges read
BAG = "embedding_bag"
PEERS = peers.PEERS | segment_peers.PEERS


def _directions(case: BenchCase) -> tuple[str, ...]:
    suite = SUITES.get(case.op)
    return DIRECTIONS if suite is None or suite.differentiable else DIRECTIONS[:1]


PAIRS = [pytest.param(case, direction, id=f"{case}-{direction}") for case in cases() for direction in _directions(case)]


def _ours(case: BenchCase) -> Any:
    if case.op not in SUITES:
        pytest.skip(f"graphkern.ops.{case.op} declares no suite")
    function = SUITES[case.op].function
    return lambda *args, **kwargs: lambda: function(*args, **kwargs)


def _arguments(case: BenchCase, small: bool) -> tuple[tuple, dict]:
    try:
        return case.arguments(small)
    except Absent as reason:
        pytest.skip(str(reason))


def _check_reference(case: BenchCase, backward: bool) -> None:
    """On the case's small likeness, against the reference in float64."""
    arguments = _arguments(case, small=True)
    if backward:
        arguments = requiring_grad(arguments)
    got = call_of(_ours(case), arguments, backward)()
    with graphkern.use("reference", *SUITES[case.op].ops):
        want = call_of(_ours(case), requiring_grad(arguments, torch.float64), backward)()
    error = relative_error([t.double() for t in got], [t.detach() for t in want])
    assert error < LIMITS[case.dtype], f"relative error {error:.1e} against the reference"


def _peers(case: BenchCase, arguments: tuple[tuple, dict], backward: bool) -> dict[str, Any]:
    if case.dtype == torch.float32:
        makers = PEERS.get(case.op, {})
        return {name: lambda make=make: call_of(make, arguments, backward) for name, make in makers.items()}

    def in_float32() -> Any:
        args, kwargs = arguments
        args = tuple(a.detach().float() if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)
        return call_of(_ours(case), requiring_grad((args, kwargs)) if backward else (args, kwargs), backward)

    return {"ours in float32": in_float32}


def _traffic(case: BenchCase, out: Tensor, args: tuple, kwargs: dict, backward: bool) -> int | None:
    """Bytes that must move; with a gradient only where that is the same kind of op on the transposed graph."""
    forward = SUITES[case.op].traffic(out, *args, **kwargs)
    if not backward:
        return forward
    spmm = SUITES["spmm"].traffic
    if case.op == "spmm" and len(args) == 2 and kwargs["reduce"] in ("sum", "mean"):
        return forward + spmm(args[1], args[0].t(), out)
    if case.op == "sddmm":
        adj, q, k = args
        return forward + spmm(q, adj, k, out) + spmm(k, adj.t(), q, out)
    return None


def _shares(case: BenchCase, args: tuple, gbps: float, backward: bool) -> dict[str, Any]:
    """Shares of the ceilings: a copy, rows read at random positions, rows read in the graph's order."""
    shares: dict[str, Any] = {"of_copy": gbps / copy_gbps()}
    if case.graph is not None and case.op in GATHERED:
        try:
            anywhere, own = gather_ceilings(case.graph, args[GATHERED[case.op]].detach(), args[0].indices)
        except Absent as reason:
            return shares | {"no_gather": str(reason)}
        shares |= {"of_gather": gbps / anywhere, "gather_gbps": anywhere, "own_order_gbps": own}
        if not backward:
            shares["of_own_order"] = gbps / own
    return shares


def _targets(case: BenchCase, direction: str, result: Result, shares: dict, args: tuple) -> dict[str, float]:
    """What this row counts for in the geometric means."""
    targets: dict[str, float | None] = {}
    if case.target is not None:
        label = f"{case.target}, {direction}"
        targets[label] = result.ratio(result.best(BAG))
        if BAG in result.peers:
            targets[f"{label}, with {BAG} among the peers"] = result.ratio(result.best())
        if "torch_scatter.scatter" in result.peers and case.op == "scatter_reduce":
            targets[f"{label}, against torch_scatter"] = result.ratio("torch_scatter.scatter")
    if case.target == "spmm sum" and "of_own_order" in shares and args[1].nbytes > last_level_cache():
        targets["spmm sum beyond the cache, share of gather, random order"] = shares["of_gather"]
        targets["spmm sum beyond the cache, share of gather, the graph's order"] = shares["of_own_order"]
    return {label: value for label, value in targets.items() if value is not None}


@pytest.mark.parametrize(("case", "direction"), PAIRS)
def test_op(benchmark, record, case: BenchCase, direction: str):
    backward = direction != "forward"
    make = _ours(case)
    _check_reference(case, backward)
    arguments = _arguments(case, small=SMOKE)
    if backward:
        arguments = requiring_grad(arguments)
    contenders = _peers(case, arguments, backward)
    result = measure(benchmark, call_of(make, arguments, backward), contenders, LIMITS[case.dtype])
    args, kwargs = arguments
    with torch.no_grad():
        out = make(*args, **kwargs)()
    shares: dict[str, Any] = {}
    traffic = _traffic(case, out, args, kwargs, backward)
    if traffic is not None:
        shares["gbps"] = traffic / result.seconds / 1e9
        shares |= _shares(case, args, shares["gbps"], backward)
    targets = _targets(case, direction, result, shares, args)
    slow = [name for name in SUITES[case.op].ops if OPS[name].active("cpu") == "reference"]
    record(row_of(result, case.op, case.name, direction, targets=targets, by_reference=slow, **shares))
