"""`graphkern doctor`: what is installed, and who serves each op on each device."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from graphkern import _native
from graphkern._op import OPS, Op

IMPLEMENTATIONS = ("cpu", "cuda", "triton", "reference")


TESTED = Path(__file__).parent / "_tested.json"
TESTS = {
    "contract": "the contract suite, natively: values, gradients, strides, memory, torch.compile, torch.export",
    "host run": "the contract's cases on CUDA C++ compiled as C++, its threads run by the CPU: plain, address and"
    " undefined behaviour sanitizers, race detector, each barrier and atomic taken away in turn",
    "interpreter": "the contract suite in Triton's interpreter",
    "compile gate": "compiled to sm_80, sm_90 and sm_100 without a register spill",
}


def main(ops: bool = False) -> None:
    """Print the report; ops: what tested each op's implementations instead. Nothing is changed or downloaded."""
    print("\n".join(_tested() if ops else [*_versions(), "", *_libraries(), "", *_ops()]))


def _versions() -> list[str]:
    names = ("torch", "triton", "numpy", "scipy", "transformers")
    rows = [
        ("graphkern", _version("graphkern")),
        ("python", platform.python_version()),
        ("platform", platform.platform()),
    ]
    return _table(rows + [(name, _version(name)) for name in names] + [("device", _device())])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    if not torch.cuda.is_available():
        return f"cpu only (torch CUDA build: {torch.version.cuda or 'no'})"
    return f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})"


def _libraries() -> list[str]:
    info = _native.build_info()
    built = ", ".join(f"{key} {value}" for key, value in info.items() if not key.endswith("_absent"))
    rows = [
        ("built with", built or "nothing"),
        ("instructions", _native.isa()),
        ("threads", str(torch.get_num_threads())),
    ]
    for name in ("cpu", "cuda"):
        state = str(_native.loaded[name]) if name in _native.loaded else f"absent: {_native.absent[name]}"
        rows.append((f"{name} library", state))
    return _table(rows)


def _ops() -> list[str]:
    rows = [("op", "on cpu", "on cuda", "why not the others")]
    for op in OPS.values():
        on_cuda = op.active("cuda") if torch.cuda.is_available() else "no device"
        rows.append((op.name, op.active("cpu"), on_cuda, _why_not(op)))
    return _table(rows)


def _why_not(op: Op) -> str:
    reasons = {implementation: op.missing(implementation) for implementation in IMPLEMENTATIONS}
    return "; ".join(f"{implementation}: {reason}" for implementation, reason in reasons.items() if reason)


def _tested() -> list[str]:
    record = json.loads(TESTED.read_text())
    rows: list[tuple[str, ...]] = [("op", *IMPLEMENTATIONS)]
    for name, op in OPS.items():
        rows.append((name, *(_cell(op, record[name].get(each), each) for each in IMPLEMENTATIONS)))
    every = {test for tests in record.values() for names in tests.values() for test in names}
    devices = sorted(every - TESTS.keys())
    return [
        *_table(rows),
        "",
        "-: not written. (absent): written, cannot run here; `graphkern doctor` says why.",
        *(f"{test}: {meaning}" for test, meaning in TESTS.items()),
        f"on a device: {', '.join(devices)}" if devices else "on a device: no CUDA or Triton kernel has run on one yet",
    ]


def _cell(op: Op, tests: list[str] | None, implementation: str) -> str:
    if tests is None:
        return "-"
    return ", ".join(tests) + (" (absent)" if op.missing(implementation) else "")


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        for row in rows
    ]
