"""The CUDA kernels and their launchers, run on the played device, pass the contract's cases in three builds."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from graphkern.ops._case import suites

from ..tested import registered
from . import build

pytestmark = build.NEEDS_COMPILER
KERNELS = registered("csrc/*/*_cuda.cu")
FUNCTIONS = [suite.name for suite in suites() if suite.ops[0] in KERNELS]
NEED_RUN = re.compile(r"(__syncthreads|__syncwarp|atomic[A-Z]\w+)\(")


@pytest.fixture(scope="module")
def ran(host_runs: Future) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """What each build said of every case, and the race build with each barrier and atomic taken away."""
    return host_runs.result()


@pytest.mark.parametrize("name", list(build.BUILDS))
@pytest.mark.parametrize("function", FUNCTIONS)
def test_matches_reference(ran: dict, function: str, name: str, record_property: Callable) -> None:
    """In program order and in drawn orders, aligned and not."""
    runs = [outcome for outcome in ran[name]["runs"] if outcome["function"] == function]
    record_property("on_host", (name, len({outcome["case"] for outcome in runs}), len(runs)))
    assert runs
    assert all(outcome["served"] for outcome in runs), "the CPU served it"
    assert not [f"{outcome['run']}: {outcome['error']}" for outcome in runs if outcome["error"] is not None]


def test_every_kernel_ran(ran: dict) -> None:
    for name in build.BUILDS:
        assert {op for outcome in ran[name]["runs"] for op in outcome["served"]} == KERNELS


def test_no_barrier_or_atomic_can_go(ran: dict) -> None:
    assert ran["race"]["removed"]
    assert not [outcome["site"] for outcome in ran["race"]["removed"] if outcome["caught"] is None]


def test_every_barrier_and_atomic_ran(ran: dict) -> None:
    reached = {outcome["site"].rsplit(":", 1)[0] for outcome in ran["race"]["removed"]}
    written = {f"{path.name}:{number}" for path in build.ROOT.glob("csrc/*/*.cuh") for number in _lines(path)}
    assert written == reached


def _lines(path: Path) -> list[int]:
    return [n for n, line in enumerate(path.read_text().splitlines(), 1) if NEED_RUN.search(line.split("//")[0])]
