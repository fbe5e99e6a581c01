"""What tools/gpu.sh needs beside a shell.

pytest -p tools.gpu_gate    runs the share GPU_GATE_SHARE=k/n of the tests, counts what passed in GPU_GATE_COUNTS
... split N FOLDER COMMAND  runs COMMAND, a pytest with that plugin, in N processes at once, a share each
... record FOLDER RESULTS   writes RESULTS/<gpu>-gate.json from the counts and steps in FOLDER
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TRITON_WEIGHT = 3  # a test that compiles takes longer
SHOWN = 15  # lines of a failing share
Counts = dict[str, dict[str, int]]  # op -> implementation -> number of tests

_counts: dict[str, Counts] = {"passed": {}, "failed": {}}


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _group(item: pytest.Item) -> tuple[str, ...]:
    """Tests that use the same kernels, so that few of them are compiled twice."""
    given = _parameters(item)
    suite = given["suite"].name if "suite" in given else ""
    kind = (str(given.get(name, "")) for name in ("implementation", "index_dtype"))
    return item.nodeid.split("[")[0], suite, *kind


def share(items: list[pytest.Item], number: int, total: int) -> list[pytest.Item]:
    """The groups dealt out, the heaviest first, each to the share that has least."""
    groups: dict[tuple[str, ...], list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    weight = {key: len(group) * (TRITON_WEIGHT if "triton" in key else 1) for key, group in groups.items()}
    loads, kept = [0] * total, set()
    for key in sorted(groups, key=lambda key: (-weight[key], key)):
        least = loads.index(min(loads))
        loads[least] += weight[key]
        if least == number:
            kept.add(key)
    return [item for item in items if _group(item) in kept]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    number, total = map(int, os.environ.get("GPU_GATE_SHARE", "0/1").split("/"))
    items[:] = share(items, number, total)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Counts contract tests on the device for each op that served them, and writes at once: a process may be killed."""
    outcome = yield
    report = outcome.get_result()
    given, path = _parameters(item), os.environ.get("GPU_GATE_COUNTS")
    if report.when != "call" or report.skipped or path is None or not {"suite", "implementation"} <= given.keys():
        return
    from graphkern._op import OPS

    counts = _counts["passed" if report.passed else "failed"]
    for op in given["suite"].ops:
        if OPS[op].missing(given["implementation"]) is None:
            by_op = counts.setdefault(op, {})
            by_op[given["implementation"]] = by_op.get(given["implementation"], 0) + 1
    Path(path).write_text(json.dumps(_counts))


def split(total: int, folder: Path, command: list[str]) -> int:
    """Prints what failed; returns 1 where anything did, 5 (as pytest) where nothing was to be run."""
    folder.mkdir(parents=True, exist_ok=True)
    running = []
    for number in range(total):
        counts, log = folder / f"{number}.json", folder / f"{number}.txt"
        counts.unlink(missing_ok=True)
        env = os.environ | {"GPU_GATE_SHARE": f"{number}/{total}", "GPU_GATE_COUNTS": str(counts)}
        with log.open("w") as out:
            running.append((log, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)))
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ends the others; what they wrote is still told
    codes = {log: process.wait() for log, process in running}
    signal.signal(signal.SIGTERM, before)
    lines: list[str] = []
    summary: dict[str, int] = {}
    for log, code in codes.items():
        text = log.read_text().splitlines()
        for count, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", text[-1] if text else ""):
            summary[word] = summary.get(word, 0) + int(count)
        if code not in (0, 5):
            failed = [line for line in text if line.startswith(("FAILED", "ERROR", "========= ERROR"))]
            lines += [f"-- {log}, exit status {code}", *text[-SHOWN:], *failed[-SHOWN:]]
    lines.append(", ".join(f"{number} {word}" for word, number in summary.items()) or "no test ran")
    print("\n".join(lines))
    return max((1 for code in codes.values() if code not in (0, 5)), default=0 if 0 in codes.values() else 5)


def record(folder: Path, results: Path) -> Path:
    """folder/steps.txt: a line a step, "name outcome seconds"; folder/contract/*.json: counts."""
    import torch
    import triton

    steps = [line.rsplit(" ", 2) for line in (folder / "steps.txt").read_text().splitlines()]
    document: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": triton.__version__,
        "steps": {name: {"outcome": outcome, "seconds": int(seconds)} for name, outcome, seconds in steps},
    }
    return write(document | merged(folder / "contract"), results)


def merged(folder: Path) -> dict[str, Counts]:
    total: dict[str, Counts] = {"passed": {}, "failed": {}}
    for path in sorted(folder.glob("*.json")):
        for outcome, counts in json.loads(path.read_text()).items():
            for op, by_implementation in counts.items():
                for implementation, number in by_implementation.items():
                    there = total[outcome].setdefault(op, {})
                    there[implementation] = there.get(implementation, 0) + number
    return {outcome: dict(sorted(counts.items())) for outcome, counts in total.items()}


def write(document: dict[str, Any], results: Path) -> Path:
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{document['gpu'].replace(' ', '-')}-gate.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


if __name__ == "__main__":
    verb, *given = sys.argv[1:]
    if verb == "split":
        sys.exit(split(int(given[0]), Path(given[1]), given[2:]))
    print(record(Path(given[0]), Path(given[1])))
