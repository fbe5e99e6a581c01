"""How calls are timed: ours and the peers by turns, so that a noisy machine hits all alike; the median counts."""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.ops.memory import peak_extra_bytes

SMOKE = os.environ.get("GRAPHKERN_BENCH_SMOKE") == "1"  # tiny inputs, each call once
FULL = os.environ.get("GRAPHKERN_BENCH_FULL") == "1"  # every combination

Call = Callable[[], Any]


def seconds_of(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def median_seconds(call: Call, rounds: int = 7) -> float:
    """Median wall-clock seconds of `rounds` calls, after one that is not counted."""
    call()
    return statistics.median(seconds_of(call) for _ in range(rounds))


@dataclass
class Contender:
    """A peer in a race: its call, what its first call took, and the times counted."""

    call: Call
    first: float
    times: list[float]
    rounds: int = 0

    @property
    def seconds(self) -> float:
        return statistics.median(self.times) if self.times else self.first


def _rounds(seconds: float) -> int:
    return 7 if seconds < 0.05 else 5 if seconds < 0.2 else 3 if seconds < 1 else 2


def _timed(call: Call, estimate: float) -> float:
    """A call of less than a tenth of a second runs once before, so that it does not start from the other's cache."""
    if estimate < 0.1:
        call()
    return seconds_of(call)


def race(benchmark: Any, ours: Call, first: float, peers: dict[str, tuple[Call, float]]) -> dict[str, float]:
    """Time ours under pytest-benchmark and, before each of its rounds, the peers.

    Args:
        first: seconds of our first call.
        peers: name -> (call, seconds of its first call). Who took over a tenth of a second and more than 2.5 times
            the fastest peer is not called again: it cannot be the best.
    Returns: median seconds by peer.
    """
    fastest = min((seconds for _, seconds in peers.values()), default=0.0)
    runners = {name: Contender(call, seconds, []) for name, (call, seconds) in peers.items()}
    for runner in runners.values():
        hopeless = runner.first > max(0.1, 2.5 * fastest)
        runner.rounds = 0 if hopeless else 1 if SMOKE else _rounds(runner.first)
    rounds = 1 if SMOKE else max([_rounds(first), *(runner.rounds for runner in runners.values())])

    def peers_first() -> None:
        for runner in runners.values():
            if len(runner.times) < runner.rounds:
                runner.times.append(_timed(runner.call, runner.first))
        if first < 0.1:
            ours()

    benchmark.pedantic(ours, setup=peers_first, rounds=rounds)
    return {name: runner.seconds for name, runner in runners.items()}


def median_of(benchmark: Any) -> float:
    """Seconds of the call just raced; NaN in a smoke run, which times nothing."""
    return float("nan") if SMOKE else benchmark.stats.stats.median


def peak_bytes(call: Call) -> int:
    """How far memory rises during a call, its results included. The call has run before."""
    done_before = False

    def once() -> None:
        nonlocal done_before
        if done_before:
            call()
            return
        done_before = True
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # else the call would use what earlier ones freed

    return peak_extra_bytes(once, "cpu")[1]
