"""Runs the contract's cases on the played device: python cases.py LIBRARY RESULTS [--remove] [op ...]

A process of its own for each build: the asan build needs its runtime loaded first, and a process can register a kernel
once. Writes a JSON list of outcomes.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import graphkern
from graphkern.ops._case import Case, Suite, suites
from tests.cuda_on_host.played_device import SCHEDULES, Device, Schedule
from tests.ops.test_contract import TOLERANCE, _call, _floats, _gradients, _map_floats, _results, _with_grad


class Run(NamedTuple):
    """One case in one dtype, under one schedule."""

    suite: Suite
    case: Case
    dtype: torch.dtype
    index_dtype: torch.dtype
    schedule: Schedule

    def arguments(self) -> tuple[tuple, dict[str, Any]]:
        """Floating inputs are not aligned under a drawn schedule: kernels then take their narrow loads."""
        arguments = self.case.arguments(self.dtype, self.index_dtype)
        return _map_floats(_unaligned, arguments) if self.schedule.seed == 1 else arguments

    def fails(self) -> str | None:
        """None where results and gradients are those of the reference."""
        try:
            self._check()
        except (RuntimeError, AssertionError, IndexError) as error:
            return str(error)[:600]
        return None

    def _check(self) -> None:
        got = _results(_call(self.suite, self.arguments()))
        takes_values = bool(_floats(self.arguments()))
        tolerance = TOLERANCE[self.dtype if takes_values else torch.float64]
        for result, want in zip(got, self._expected()[0], strict=True):
            torch.testing.assert_close(result.to(want.dtype), want, **tolerance, equal_nan=not takes_values)
        if self.suite.differentiable:
            for result, want in zip(
                _gradients(self.suite, _with_grad(self.arguments())), self._expected()[1], strict=True
            ):
                scale = max(1.0, float(want.abs().max()) if want.numel() else 1.0)
                torch.testing.assert_close(result.double() / scale, want / scale, **tolerance)

    def _expected(self) -> tuple[list[Tensor], list[Tensor]]:
        """Of the reference in float64; the same for all schedules."""
        key = (self.suite.name, self.case.name, self.dtype, self.index_dtype)
        if key not in _EXPECTED:
            arguments = _map_floats(Tensor.double, self.case.arguments(self.dtype, self.index_dtype))
            with graphkern.use("reference", *self.suite.ops):
                results = _results(_call(self.suite, arguments))
                gradients = _gradients(self.suite, _with_grad(arguments)) if self.suite.differentiable else []
            _EXPECTED[key] = (results, gradients)
        return _EXPECTED[key]

    def __str__(self) -> str:
        dtypes = f"{self.dtype} {self.index_dtype}".replace("torch.", "")
        return f"{self.suite.name} {self.case.name} {dtypes} seed {self.schedule.seed}"


_EXPECTED: dict[tuple, tuple[list[Tensor], list[Tensor]]] = {}


def _unaligned(t: Tensor) -> Tensor:
    held = t.new_empty(t.numel() + 1)
    return held[1:].view(t.shape).copy_(t)


def runs(ops: Sequence[str]) -> Iterator[Run]:
    """Every suite whose main op is among ops, every case but those to time, every value dtype and schedule.

    The index dtypes take turns.
    """
    for suite in suites():
        if suite.ops[0] not in ops:
            continue
        for case in (case for case in suite.cases if not case.bench):
            takes_values = bool(_floats(case.arguments(torch.float32)))
            dtypes = tuple(TOLERANCE) if takes_values else (torch.float32,)
            for number, (dtype, schedule) in enumerate(itertools.product(dtypes, SCHEDULES)):
                index_dtypes = (torch.int64, torch.int32) if takes_values else (torch.int64,) * 2
                turn = index_dtypes[number % 2]
                yield Run(suite, case, dtype, turn, schedule)
                if not takes_values:
                    yield Run(suite, case, dtype, torch.int32, schedule)


def check(device: Device, ops: Sequence[str]) -> list[dict[str, Any]]:
    outcomes = []
    with device.serving():
        for run in runs(ops or device.ops):
            device.schedule(run.schedule)
            device.served.clear()
            start = time.monotonic()
            error = run.fails()
            outcomes.append(
                {
                    "function": run.suite.name,
                    "case": run.case.name,
                    "run": str(run),
                    "error": error,
                    "served": dict(device.served),
                    "seconds": time.monotonic() - start,
                }
            )
    return outcomes


def remove_each(device: Device, ops: Sequence[str]) -> list[dict[str, Any]]:
    """Takes away each barrier and atomic in turn, and runs cases until one fails."""
    outcomes = []
    chosen = sorted(runs(ops or device.ops), key=lambda run: run.schedule.preempt == 0)
    with device.serving():
        passed: dict[str, list[Run]] = {}
        for run in chosen:
            device.schedule(run.schedule)
            seen = set(device.sites())
            if run.fails() is None:
                for site in set(device.sites()) - seen:
                    passed.setdefault(site, []).append(run)
        for site in device.sites():
            device.remove(site)
            caught = None
            for run in [*passed.get(site, []), *chosen]:
                device.schedule(run.schedule)
                caught = run.fails()
                if caught is not None:
                    break
            device.remove()
            outcomes.append({"site": site, "caught": caught})
    return outcomes


def main(library: str, results: str, *arguments: str) -> None:
    warnings.filterwarnings("ignore", "Warning only once for all operators")  # overriding is what is meant
    torch.set_num_threads(1)
    device = Device(Path(library))
    ops = [argument for argument in arguments if not argument.startswith("--")]
    outcomes = remove_each(device, ops) if "--remove" in arguments else check(device, ops)
    Path(results).write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
