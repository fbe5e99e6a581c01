"""How calls are timed on a device: events around each, its cache flushed before; and what its memory allows."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ..timing import Call

FLUSH = 256 << 20  # bytes, several times the largest cache
SECONDS = 0.3  # for the rounds of one contender
ROUNDS = (3, 15)  # least and most; one for a call of over a second


@dataclass
class Contender:
    """A call, and the context that it runs in."""

    call: Call
    context: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext


@dataclass
class Clock:
    """Times on one device. On the CPU, and where `smoke`, nothing is timed: each call runs once.

    ceilings: GB/s of what was measured, by name.
    """

    device: str
    smoke: bool
    ceilings: dict[tuple, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._flushed = torch.empty(0 if self.smoke else FLUSH, dtype=torch.uint8, device=self.device)

    def seconds(self, call: Call, by_host: bool = False) -> float:
        """Of one call: device time between events, or the host's until the device is done."""
        self._flushed.zero_()
        if by_host:
            torch.cuda.synchronize()
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            return time.perf_counter() - start
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def race(self, contenders: dict[str, Contender], by_host: bool = False) -> dict[str, float]:
        """Median seconds by name; all by turns, after a call of each that is not counted. Nothing where `smoke`."""
        if self.smoke:
            return {}
        rounds: dict[str, int] = {}
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(-1, ROUNDS[1]):
            for name, contender in contenders.items():
                if turn >= rounds.get(name, 0):
                    continue
                with contender.context():
                    seconds = self.seconds(contender.call, by_host)
                if turn >= 0:
                    times[name].append(seconds)
                else:
                    least, most = (1, 1) if seconds > 1 else ROUNDS
                    rounds[name] = max(least, min(most, int(SECONDS / max(seconds, 1e-6))))
        return {name: statistics.median(values) for name, values in times.items()}

    def peak(self, contender: Contender) -> int:
        """Bytes of device memory that a call adds at most, its results included."""
        if self.smoke:
            return 0
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        with contender.context():
            contender.call()
        return torch.cuda.max_memory_allocated() - before

    def _gbps(self, key: tuple, call: Call, nbytes: int) -> float:
        """Of the fastest of a few calls."""
        if key not in self.ceilings:
            call()
            self.ceilings[key] = nbytes / min(self.seconds(call) for _ in range(5)) / 1e9
        return self.ceilings[key]

    def copy_gbps(self) -> float:
        """A plain copy of 1 GiB, read and written."""
        key = ("copy",)
        if key not in self.ceilings:
            source = torch.ones(256 << 20, device=self.device)
            target = torch.empty_like(source)
            self._gbps(key, lambda: target.copy_(source), 2 * source.nbytes)
        return self.ceilings[key]

    def gather_gbps(self, table: torch.Tensor, count: int) -> float:
        """index_select of `count` uniformly random rows of a table: rows read and written, and int32 indices."""
        key = ("gather", table.shape, table.dtype, count)
        if key not in self.ceilings:
            index = torch.randint(0, table.shape[0], (count,), dtype=torch.int32, device=self.device)
            nbytes = index.nbytes + 2 * count * (table.nbytes // table.shape[0])
            self._gbps(key, lambda: table.index_select(0, index), nbytes)
        return self.ceilings[key]
