"""python -m benchmarks.gpu [--smoke]: see benchmarks/gpu/__init__.py."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument(
        "--smoke", action="store_true", help="tiny inputs, on any device: checks results, times nothing"
    )
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no row after so many")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results", help="folder of the results")
    return parser.parse_args()


def main() -> int:
    begin, given = time.monotonic(), arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not given.smoke:
        print("benchmarks.gpu times on a CUDA device, and torch sees none; --smoke runs it on the CPU", file=sys.stderr)
        return 2
    os.environ["GRAPHKERN_BENCH_SMOKE" if given.smoke else "GRAPHKERN_BENCH_FULL"] = "1"  # before these are imported
    from . import op_rows, report, step_rows
    from .clock import Clock
    from .row import measure
    from .world import World

    torch.sparse.check_sparse_tensor_invariants.disable()
    clock, world = Clock(device, given.smoke), World(device, given.smoke)
    machine = {} if given.smoke else report.about(clock)
    makers = (step_rows.rows, op_rows.rows, step_rows.compiled_rows, op_rows.compiled_rows)
    rows = [row for make in makers for row in make(world) if given.only in str(row)]
    done: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    late = 0
    for row in rows:
        if time.monotonic() - begin > given.seconds:
            late += 1
            continue
        try:
            result = measure(row, clock)
        except Exception as reason:  # the others still count
            traceback.print_exc()
            failures[str(row)] = f"{type(reason).__name__}: {reason}".splitlines()[0]
            continue
        failures |= {f"{row}, by {own}": reason for own, reason in result["failed"].items()}
        if given.smoke or "ms" in result:
            done.append(result)
        if not given.smoke:
            report.write(done, failures, machine, given.out)
    if late:
        print(f"out of time: the last {late} of {len(rows)} rows were not begun")
    print("\n".join(report.smoke(done, failures) if given.smoke else report.text(done, failures, machine)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
