"""Builds kernels for the played device and runs the contract's cases on them.

    python tests/cuda_on_host/run.py [--build plain|asan|race] [--remove] [op ...]

Names are those of csrc/<op>; none means all. --remove: takes each barrier and atomic away in turn; each must be missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))  # as a script it finds tests.*

from tests.cuda_on_host import build  # noqa: E402

FOLDER = HERE.parents[1] / "build" / "cuda_on_host"


def prepare(name: str, folders: Sequence[str] = (), library: str = build.KERNELS) -> Path:
    """The library of one build, with the launchers in the named folders of csrc, or with the planted faults."""
    chosen = "-".join(sorted(folders))[:100] or "all"
    return build.build(name, FOLDER / f"{chosen}-{name}", build.sources(folders), library)


def outcomes(library: Path, name: str, remove: bool = False) -> dict[str, list[dict[str, Any]]]:
    """What cases.py says of a library, in a process of its own."""
    options = ["--remove"] if remove else []
    results = library.with_suffix(".json")
    results.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "cases.py"), name, str(library), str(results), *options]
    done = subprocess.run(command, env=build.environment(name), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(
            f"the {name} build ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return json.loads(results.read_text())


def _print_runs(name: str, runs: list[dict[str, Any]]) -> bool:
    failed = [run for run in runs if run["error"] is not None]
    for run in failed[:20]:
        print(f"FAILED {run['run']}: {run['error']}")
    for function in sorted({run["function"] for run in runs}):
        own = [run for run in runs if run["function"] == function]
        seconds, slowest = sum(run["seconds"] for run in own), max(own, key=lambda run: run["seconds"])
        bad = sum(run["error"] is not None for run in own)
        calls = sum(sum(run["served"].values()) for run in own)
        print(
            f"{name:<6}{function:<26}{len(own):>5} runs {calls:>6} calls {bad:>4} failed {seconds:>7.1f} s"
            f"  slowest {slowest['seconds']:.2f} s: {slowest['run']}"
        )
    return not failed and bool(runs)


def _print_removals(removals: list[dict[str, Any]]) -> bool:
    for removal in removals:
        caught = "MISSED BY ALL" if removal["caught"] is None else removal["caught"][:100]
        print(f"{removal['site']:<50} {removal['tried']:>3} runs {removal['seconds']:>6.1f} s  {caught}")
    return all(removal["caught"] is not None for removal in removals)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ops", nargs="*", metavar="op")
    parser.add_argument("--build", choices=list(build.BUILDS), action="append")
    parser.add_argument("--remove", action="store_true")
    given = parser.parse_args()
    sound = True
    for name in ["race"] if given.remove else given.build or list(build.BUILDS):
        start = time.monotonic()
        library = prepare(name, given.ops)
        print(f"{name}: built in {time.monotonic() - start:.0f} s", flush=True)
        done = outcomes(library, name, given.remove)
        sound &= _print_runs(name, done["runs"]) & _print_removals(done["removed"])
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
