"""Runs the contract's cases on the played device: python cases.py BUILD LIBRARY RESULTS [--remove]

A process of its own for each build: the asan build needs its runtime loaded first, and a process can register a kernel
once. Writes outcomes as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import graphkern
from graphkern.ops._case import Case, Suite, suites
from tests.cuda_on_host.played_device import SCHEDULES, Device, Schedule
from tests.ops.test_contract import TOLERANCE, _call, _floats, _gradients, _map_floats, _results, _with_grad


class Amount(NamedTuple):
    """How much of the product of cases, schedules and dtypes runs: so many dtypes a schedule; turns: the schedules take
    turns over the cases as well."""

    dtypes: int
    turns: bool


# Memory errors hardly depend on the schedule, and AddressSanitizer is slow.
AMOUNTS = {"plain": Amount(2, False), "asan": Amount(1, True), "race": Amount(1, False)}


class Run(NamedTuple):
    """One case in one dtype, under one schedule."""

    suite: Suite
    case: Case
    dtype: torch.dtype
    index_dtype: torch.dtype
    schedule: Schedule

    def arguments(self) -> tuple[tuple, dict[str, Any]]:
        """Floating inputs are not aligned under the second schedule: kernels then take their narrow loads."""
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
        gradients = self._gradients(self.arguments())
        for result, want in zip(gradients, self._expected()[1], strict=True):
            scale = max(1.0, float(want.abs().max()) if want.numel() else 1.0)
            torch.testing.assert_close(result.double() / scale, want / scale, **tolerance)

    def _gradients(self, arguments: tuple[tuple, dict]) -> list[Tensor]:
        """Of tiny cases the second ones too, as often as the op is differentiable."""
        first = _gradients(self.suite, _with_grad(arguments)) if self.suite.differentiable else []
        twice = self.suite.differentiable >= 2 and self.case.tiny
        return first + (_second_gradients(self.suite, arguments) if twice else [])

    def _expected(self) -> tuple[list[Tensor], list[Tensor]]:
        """Of the reference in float64; the same for all schedules."""
        key = (self.suite.name, self.case.name, self.dtype, self.index_dtype)
        if key not in _EXPECTED:
            arguments = _map_floats(Tensor.double, self.case.arguments(self.dtype, self.index_dtype))
            with graphkern.use("reference", *self.suite.ops):
                results = _results(_call(self.suite, arguments))
                gradients = self._gradients(arguments)
            _EXPECTED[key] = (results, gradients)
        return _EXPECTED[key]

    @property
    def function(self) -> str:
        return self.suite.name

    @property
    def name(self) -> str:
        return self.case.name

    def __str__(self) -> str:
        dtypes = f"{self.dtype} {self.index_dtype}".replace("torch.", "")
        return f"{self.suite.name} {self.case.name} {dtypes} seed {self.schedule.seed}"


class Refusal(NamedTuple):
    """A call with bad input that only the kernels can see: it must raise `error`, a regular expression."""

    function: str
    name: str
    schedule: Schedule
    call: Callable[[], object]
    error: str

    def fails(self) -> str | None:
        try:
            self.call()
        except (RuntimeError, ValueError) as error:
            return None if re.search(self.error, str(error)) else str(error)[:600]
        return f"no error; expected {self.error!r}"

    def __str__(self) -> str:
        return f"{self.function} {self.name} seed {self.schedule.seed}"


def refusals(ops: Sequence[str]) -> Iterator[Refusal]:
    adj = graphkern.CSR(torch.arange(0, 241, 3), torch.arange(240) % 80, 80)
    repeated = torch.cat([torch.arange(70), torch.tensor([7, 7, 5])])
    bad = {
        ("induced_subgraph", "repeated"): (
            lambda: graphkern.induced_subgraph(adj, repeated), "must not repeat but node 7 does"
        ),
    }  # fmt: skip
    for (function, name), (call, error) in bad.items():
        if function in ops:
            yield from (Refusal(function, name, schedule, call, error) for schedule in SCHEDULES)


_EXPECTED: dict[tuple, tuple[list[Tensor], list[Tensor]]] = {}


def _second_gradients(suite: Suite, arguments: tuple[tuple, dict]) -> list[Tensor]:
    """Gradients of the sum of the squared gradients, for the inputs and the cotangent; 0 where there is none."""
    arguments = _with_grad(arguments)
    inputs = _floats(arguments)
    out = _call(suite, arguments)
    cotangent = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape).to(out.dtype)
    cotangent.requires_grad_()
    first = torch.autograd.grad(out, inputs, cotangent, create_graph=True)
    asked = [*inputs, cotangent]
    second = torch.autograd.grad(sum(g.square().sum() for g in first), asked, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(asked, second, strict=True)]


def _unaligned(t: Tensor) -> Tensor:
    held = t.new_empty(t.numel() + 1)
    return held[1:].view(t.shape).copy_(t)


def runs(ops: Sequence[str], amount: Amount) -> Iterator[Run]:
    """Every suite whose main op is among ops, every case but those to time. Value and index dtypes take turns over
    cases and schedules."""
    for suite in suites():
        if suite.ops[0] not in ops:
            continue
        for number, case in enumerate(case for case in suite.cases if not case.bench):
            takes_values = bool(_floats(case.arguments(torch.float32)))
            every = [*itertools.product(TOLERANCE if takes_values else (torch.float32,), (torch.int64, torch.int32))]
            schedules = [SCHEDULES[number % len(SCHEDULES)]] if amount.turns else SCHEDULES
            for turn, schedule in enumerate(schedules, number):
                for again in range(amount.dtypes):
                    yield Run(suite, case, *every[(3 * turn + again) % len(every)], schedule)


class Passed(NamedTuple):
    """A run that passed, and the barriers and atomics that it passed by."""

    run: Run | Refusal
    seconds: float
    sites: set[str]


def check(device: Device, amount: Amount) -> tuple[list[dict[str, Any]], list[Passed]]:
    outcomes, passed = [], []
    for run in [*runs(device.ops, amount), *refusals(device.ops)]:
        device.schedule(run.schedule)
        device.served.clear()
        before, start = device.sites(), time.monotonic()
        error = run.fails()
        seconds = time.monotonic() - start
        outcomes.append(
            {
                "function": run.function,
                "case": run.name,
                "run": str(run),
                "error": error,
                "served": dict(device.served),
                "seconds": seconds,
            }
        )
        if error is None:
            passed.append(Passed(run, seconds, set(device.sites() - before)))
    return outcomes, passed


CHILD_SECONDS = 120


def _in_child(check: Callable[[], str | None]) -> str | None:
    """What a check says in a copy of this process: without its barrier a kernel may write anywhere, or never end."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(CHILD_SECONDS)
        os.write(sender, (check() or "").encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        said = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    return f"ended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else said or None


def remove_each(device: Device, passed: Sequence[Passed]) -> list[dict[str, Any]]:
    """Takes away each barrier and atomic in turn, and repeats the runs that passed by it, quick ones first, until one
    fails."""
    outcomes = []
    for site in device.sites():
        start, caught, tried = time.monotonic(), None, 0
        device.remove(site)
        for own in sorted((own for own in passed if site in own.sites), key=lambda own: own.seconds):
            device.schedule(own.run.schedule)
            caught = _in_child(own.run.fails)
            tried += 1
            if caught is not None:
                break
        device.remove()
        outcomes.append({"site": site, "caught": caught, "tried": tried, "seconds": time.monotonic() - start})
    return outcomes


def main(build: str, library: str, results: str, *arguments: str) -> None:
    warnings.filterwarnings("ignore", "Warning only once for all operators")  # overriding is what is meant
    torch.set_num_threads(1)
    device = Device(Path(library))
    with device.serving():
        outcomes, passed = check(device, AMOUNTS[build])
        removed = remove_each(device, passed) if "--remove" in arguments else []
    Path(results).write_text(json.dumps({"runs": outcomes, "removed": removed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
