"""What a call costs where there is nothing to do, and what a second thread brings where one row has all the edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import graphkern
from graphkern import CSR

from .graphs import graph
from .measure import TensorsCall, leaves_of, measure, row_of, tensors_of, with_gradients
from .timing import SMOKE, Call

CALLS = 2 if SMOKE else 500
Arguments = tuple[Any, ...]


def _features(adj: CSR, *shape: int) -> torch.Tensor:
    return torch.randn(adj.num_cols, *shape, generator=torch.Generator().manual_seed(0))


def _scores(adj: CSR, heads: int) -> torch.Tensor:
    return torch.randn(adj.num_edges, heads, generator=torch.Generator().manual_seed(0))


# op -> graph -> arguments; the graph is square.
ARGUMENTS: dict[str, Callable[[CSR], Arguments]] = {
    "spmm": lambda adj: (adj, _features(adj, 64)),
    "spmm-max": lambda adj: (adj, _features(adj, 64), None, "max"),
    "sddmm": lambda adj: (adj, _features(adj, 64), _features(adj, 64)),
    "edge_softmax": lambda adj: (adj, _scores(adj, 4)),
    "gat_aggregate": lambda adj: (adj, _features(adj, 4, 16), _features(adj, 4), _features(adj, 4)),
    "gatv2_aggregate": lambda adj: (adj, _features(adj, 4, 16), _features(adj, 4, 16), torch.ones(4, 16)),
    "attention_aggregate": lambda adj: (adj, *[_features(adj, 4, 16)] * 3),
    "segment_reduce": lambda adj: (_scores(adj, 64), adj.indptr),
    "scatter_reduce": lambda adj: (_scores(adj, 64), adj.row_index(), adj.num_rows),
    "gather_csr": lambda adj: (_features(adj, 64), adj.indptr),
}


def _function(op: str) -> Callable:
    function = getattr(graphkern, op.split("-")[0], None)
    if function is None:
        pytest.skip(f"graphkern.{op} is not there")
    return function


def _many(call: Call) -> TensorsCall:
    def calls() -> list[torch.Tensor]:
        for _ in range(CALLS):
            call()
        return []

    return calls


@pytest.mark.parametrize("op", ARGUMENTS)
def test_call_overhead(benchmark, record, op: str):
    """On 10 edges, beside torch.index_select of 10 rows; times are of 500 calls."""
    function = _function(op)
    ends = torch.randint(0, 5, (2, 10), generator=torch.Generator().manual_seed(0))
    adj = CSR.from_edge_index(ends.int(), 5, 5)
    args = ARGUMENTS[op](adj)
    x, column = _features(adj, 64), adj.indices
    peers = {"torch.index_select": lambda: _many(lambda: torch.index_select(x, 0, column))}
    result = measure(benchmark, _many(lambda: function(*args)), peers, limit=1.0)
    cost = {name: result.seconds / seconds for name, seconds in result.peers.items()}
    targets = {"call on 10 edges over torch.index_select": cost["torch.index_select"]}
    row = row_of(result, op, f"10 edges, {CALLS} calls", "forward", targets=targets)
    record(row | {"microseconds": result.seconds / CALLS * 1e6})


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("op", ARGUMENTS)
def test_star_on_two_threads(benchmark, record, op: str, direction: str):
    """A hub of a million edges: the time with two threads over the time with one."""
    function, adj = _function(op), graph("star-1M", SMOKE)
    args = ARGUMENTS[op](adj)
    call: TensorsCall = lambda: tensors_of(function(*args))  # noqa: E731
    if direction != "forward":
        args = tuple(
            a.clone().requires_grad_() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args
        )
        call = with_gradients(lambda: function(*args), leaves_of((args, {})))
    threads = torch.get_num_threads()
    if threads < 2:
        pytest.skip("torch has one thread here")

    def on(count: int) -> TensorsCall:
        def run() -> list[torch.Tensor]:
            torch.set_num_threads(count)
            return call()

        return run

    try:
        result = measure(benchmark, on(2), {"1 thread": lambda: on(1)}, limit=1e-6)
    finally:
        torch.set_num_threads(threads)
    share = result.seconds / result.peers["1 thread"]
    targets = {f"star, 2 threads over 1, {direction}": share}
    record(row_of(result, op, "star-1M, 2 threads", direction, targets=targets))
