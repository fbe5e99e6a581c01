"""Host runs take minutes of one core: they begin with the session, and the tests that look at them come last."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from . import build, run

RUNS = pytest.StashKey[Future]()


def _run_all() -> dict[str, Any]:
    """What cases.py says of each build. The race build takes longest: it runs while the others are made."""
    with ThreadPoolExecutor(2) as pool:
        jobs = {
            name: pool.submit(run.outcomes, run.prepare(name), name, name == "race") for name in reversed(build.BUILDS)
        }
        return {name: job.result() for name, job in jobs.items()}


def pytest_collection_modifyitems(config, items):
    waiting, after = (
        [item for item in items if name in getattr(item, "fixturenames", ())]
        for name in ("host_runs", "after_host_runs")
    )
    items[:] = [item for item in items if item not in {*waiting, *after}] + waiting + after
    if waiting and build.WHY_NOT is None and not config.option.collectonly:
        pool = ThreadPoolExecutor(1)
        config.stash[RUNS] = pool.submit(_run_all)
        pool.shutdown(wait=False)


@pytest.fixture(scope="session")
def host_runs(pytestconfig: pytest.Config) -> Future:
    return pytestconfig.stash[RUNS]


@pytest.fixture(scope="session")
def after_host_runs(pytestconfig: pytest.Config) -> None:
    """Waits for the host runs where the session has them: their folders are built in by one at a time."""
    if RUNS in pytestconfig.stash:
        wait([pytestconfig.stash[RUNS]])
