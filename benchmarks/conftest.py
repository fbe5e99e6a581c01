"""One table at the end: what each benchmark put into `extra_info`."""

import os

import pytest
import torch

SMOKE = os.environ.get("GRAPHKERN_BENCH_SMOKE") == "1"
COLUMNS = ("peer", "ratio", "GB/s", "of copy")


@pytest.fixture(scope="session")
def smoke() -> bool:
    return SMOKE


@pytest.fixture(scope="session")
def copy_gbps() -> float:
    """Bytes a second that a plain copy moves (read + write), the ceiling of everything that streams."""
    from .timing import median_seconds

    source = torch.ones((1 if SMOKE else 64) << 20)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_seconds(lambda: target.copy_(source)) / 1e9


def pytest_terminal_summary(terminalreporter):
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    rows = [bench for bench in getattr(session, "benchmarks", []) if bench.extra_info]
    if not rows:
        return
    terminalreporter.section("against the best peer, same process (ratio: peer's time / ours)")
    for bench in rows:
        info = "  ".join(f"{name} {bench.extra_info.get(name, '-')}" for name in COLUMNS)
        terminalreporter.write_line(f"{bench.name:60} {bench.stats.median * 1e3:9.3f} ms  {info}")
