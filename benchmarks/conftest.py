"""Prints the report when the benchmarks end; --results FOLDER writes it as well."""

import contextlib
import gc
import importlib
from pathlib import Path

import pytest

from . import report
from .timing import SMOKE

ROWS = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption("--results", type=Path, help="folder for the tables")


def pytest_configure(config):
    config.stash[ROWS] = []
    config.addinivalue_line("filterwarnings", "ignore:Sparse (invariant|CSR)")
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit.script` is deprecated")


@pytest.fixture(scope="session", autouse=True)
def _imports_are_no_garbage():
    """So that collections before memory is measured take milliseconds."""
    for name in ("scipy.sparse", "torch_geometric.nn", "torch._dynamo"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def record(benchmark, pytestconfig):
    """Takes a row into extra_info and into the report."""

    def take(row: dict) -> None:
        benchmark.extra_info.update(row)
        pytestconfig.stash[ROWS].append(row)

    return take


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.section("ours beside its peers, by turns in one process (ratio: the best peer's time / ours)")
    for line in report.absent_text(rows) if SMOKE else report.text(rows):
        terminalreporter.write_line(line)
    if config.getoption("results") and not SMOKE:
        report.write(rows, config.getoption("results"))
