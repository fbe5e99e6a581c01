"""What tests each op's implementations, read from this checkout: python -m tests.tested writes graphkern/_tested.json.

`graphkern doctor --ops` shows that file; tests/test_tested.py fails where it is not what it should be.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from graphkern._op import OPS
from graphkern.ops._case import suites

ROOT = Path(__file__).parents[1]
FILE = ROOT / "graphkern" / "_tested.json"


def registered(pattern: str) -> set[str]:
    """The ops for which the files of a pattern register a kernel."""
    return {name for path in ROOT.glob(pattern) for name in re.findall(r'm\.impl\("(\w+)"', path.read_text())}


def truth() -> dict[str, dict[str, list[str]]]:
    """op -> implementation that is written -> names of what tests it."""
    in_contract = {op for suite in suites() for op in suite.ops}
    gates = [json.loads(path.read_text()) for path in sorted(ROOT.glob("benchmarks/results/*-gate.json"))]
    cpu, cuda = registered("csrc/*/*_cpu.cpp"), registered("csrc/*/*_cuda.cu")
    result = {}
    for name, op in sorted(OPS.items()):
        contract = ["contract"] if name in in_contract else []
        on_host, interpreted = (["host run"], ["interpreter"]) if contract else ([], [])
        tests = {"reference": contract}
        tests |= {"cpu": contract} if name in cpu else {}
        tests |= {"cuda": [*on_host, "compile gate", *_devices(gates, name, "cuda")]} if name in cuda else {}
        tests |= {"triton": [*interpreted, "compile gate", *_devices(gates, name, "triton")]} if op.has_triton else {}
        result[name] = tests
    return result


def _devices(gates: list[dict], op: str, implementation: str) -> list[str]:
    return [gate["gpu"] for gate in gates if gate["passed"].get(op, {}).get(implementation, 0) > 0]


if __name__ == "__main__":
    FILE.write_text(json.dumps(truth(), indent=1) + "\n")
