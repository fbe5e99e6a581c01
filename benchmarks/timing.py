"""How peers are timed: a few rounds, the median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def median_seconds(call: Callable[[], object], rounds: int = 7) -> float:
    """Median wall-clock seconds of `rounds` calls, after one that is not counted."""
    call()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)
