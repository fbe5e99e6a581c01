"""Every op on its bench cases beside what a user would call otherwise. Results are compared before timing."""

from __future__ import annotations

import pytest
import torch

from graphkern.ops._case import Case, Suite, suites

from .conftest import SMOKE
from .peers import PEERS
from .timing import median_seconds


def _cases(suite: Suite) -> list[Case]:
    """The bench cases; in a smoke run the first small ones instead."""
    return [case for case in suite.cases if case.bench] if not SMOKE else list(suite.cases[:2])


PAIRS = [pytest.param(s, c, id=f"{s.name}-{c.name}") for s in suites() for c in _cases(s)]


def _compare(ours: object, theirs: object) -> None:
    """Same values; of pairs (values, indices) the values, since peers may order ties otherwise."""
    first = [out[0] if isinstance(out, tuple) else out for out in (ours, theirs)]
    torch.testing.assert_close(*first, rtol=1e-4, atol=1e-3, check_dtype=False)


def _report(benchmark, suite: Suite, traffic: int, seconds: float, peers: dict[str, float], copy_gbps: float) -> None:
    gbps = traffic / seconds / 1e9
    benchmark.extra_info.update({"GB/s": f"{gbps:.1f}", "of copy": f"{gbps / copy_gbps:.0%}"})
    if peers:
        best = min(peers, key=peers.__getitem__)
        benchmark.extra_info.update({"peer": best, "ratio": f"{peers[best] / seconds:.2f}"})


@pytest.mark.parametrize(("suite", "case"), PAIRS)
def test_forward(benchmark, suite: Suite, case: Case, copy_gbps: float):
    args, kwargs = case.arguments(torch.float32)
    out = suite.function(*args, **kwargs)
    peers = {name: make(*args, **kwargs) for name, make in PEERS[suite.name].items()}
    for peer in peers.values():
        _compare(out, peer())
    benchmark(lambda: suite.function(*args, **kwargs))
    if not SMOKE:
        seconds = {name: median_seconds(peer) for name, peer in peers.items()}
        _report(benchmark, suite, suite.traffic(out, *args, **kwargs), benchmark.stats.stats.median, seconds, copy_gbps)
