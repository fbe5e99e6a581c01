"""make gpu as far as it goes without a device: its script, its benchmarks on tiny inputs, what it records."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu import op_rows, report, row, step_rows
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.world import World
from tests import tested
from tools import gpu_gate

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tools" / "gpu.sh"


def run(*command: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, **options)


def test_script_parses_and_names_tests_that_exist():
    assert run("bash", "-n", str(SCRIPT)).returncode == 0
    paths = re.findall(r"tests/\S+\.py", SCRIPT.read_text())
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def test_script_says_that_it_needs_a_device(tmp_path):
    for tool in ("bash", "dirname"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = run(str(tmp_path / "bash"), str(SCRIPT), env={"PATH": str(tmp_path), "PYTHON": "bash", "CUDA_HOME": "/none"})
    assert done.returncode == 1
    assert done.stderr == "make gpu needs a CUDA device, but nvidia-smi does not run here\n"


def test_every_row_is_right_on_tiny_inputs():
    before = sorted((ROOT / "benchmarks" / "results").iterdir())
    done = run(sys.executable, "-m", "benchmarks.gpu", "--smoke", env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert int(re.findall(r"(\d+) rows checked, none timed", done.stdout)[0]) == len(every_row())
    assert sorted((ROOT / "benchmarks" / "results").iterdir()) == before


def every_row() -> list[row.Row]:
    makers = (step_rows.rows, op_rows.rows, step_rows.compiled_rows, op_rows.compiled_rows)
    return [made for make in makers for made in make(World("cpu", small=True))]


def test_every_goal_has_rows():
    assert {label for made in every_row() for label in made.targets} >= report.GOALS.keys()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device to time on")
def test_nothing_is_timed_without_a_device():
    done = run(sys.executable, "-m", "benchmarks.gpu")
    assert done.returncode == 2
    assert "torch sees none" in done.stderr


def made_row(ours: float, peer: float) -> row.Row:
    one = torch.ones(3)
    work = row.Work(lambda: [ours * one], lambda: [one.double()], {"peer": lambda: lambda: [peer * one]}, 1e-4)
    return row.Row("op", "case", ("spmm",), lambda: work)


def test_wrong_results_are_not_timed():
    clock = Clock("cpu", smoke=True)
    right = row.measure(made_row(1, 1), clock)
    assert (len(right["ours"]), right["peers"], right["failed"]) == (1, ["peer"], {})
    wrong_peer = row.measure(made_row(1, 2), clock)
    assert (wrong_peer["peers"], wrong_peer["failed"]) == ([], {})
    assert "wrong" in wrong_peer["absent"]["peer"]
    wrong = row.measure(made_row(float("nan"), 1), clock)
    assert wrong["ours"] == []
    assert [reason.split(":")[0] for reason in wrong["failed"].values()] == ["wrong"]


def timed(group: str, targets: dict[str, float], **ms: float) -> dict:
    return {
        "group": group,
        "case": "case",
        "default": "cuda",
        "absent": {"torch_scatter": "No module named 'torch_scatter'"},
        "ms": ms,
        "peak_mib": dict.fromkeys(ms, 1.0),
        "peer": "peer",
        "targets": targets,
        "winner_targets": {label: 2 * value for label, value in targets.items()},
    }


def test_report_tells_winners_and_goals(tmp_path):
    met, missed = list(report.GOALS)[:2]
    rows = [timed("one", {met: 1.5}, cuda=2.0, triton=1.0, peer=3.0), timed("two", {missed: 0.3}, cuda=1.0, peer=0.5)]
    report.write(rows, {"three: case": "wrong"}, {"gpu": "Some GPU"}, tmp_path)
    lines = (tmp_path / "Some-GPU.md").read_text().splitlines()
    assert any(met in line and "1.50 (3.00)" in line and line.endswith("| met |") for line in lines)
    assert any(missed in line and line.endswith("| MISSED |") for line in lines)
    assert sum(line.endswith("| not measured |") for line in lines) == len(report.GOALS) - 2
    assert "| one | 1 | 0.50 | 0.50 | 0.50 | cuda | triton (not the default) |" in lines
    assert any(line.startswith("| one | case | 2.000 | 1.000 | peer | 3.000 | 1.50 |") for line in lines)
    assert "FAILED three: case: wrong" in lines
    assert json.loads((tmp_path / "Some-GPU.json").read_text())["failures"] == {"three: case": "wrong"}
    assert report.text(rows, {}, {"gpu": "Some GPU"})[-1] == "gpu Some GPU"


def items() -> list[SimpleNamespace]:
    """Of two suites with two implementations, five cases each."""
    return [
        SimpleNamespace(
            nodeid=f"test_contract.py::test[{suite}-{case}-{implementation}]",
            callspec=SimpleNamespace(params={"suite": SimpleNamespace(name=suite), "implementation": implementation}),
        )
        for suite in ("spmm", "sddmm")
        for case in range(5)
        for implementation in ("cuda", "triton")
    ]


def test_shares_are_the_whole_and_keep_kernels_together():
    shares = [gpu_gate.share(items(), number, 3) for number in range(3)]
    names = [item.nodeid for share in shares for item in share]
    assert sorted(names) == sorted(item.nodeid for item in items())
    assert all(len(share) % 5 == 0 and share for share in shares)


TESTS = """
from types import SimpleNamespace
import pytest

SUITE = SimpleNamespace(name="suite", ops=("spmm", "sddmm"))

@pytest.mark.parametrize(("suite", "implementation", "case"), [(SUITE, "reference", case) for case in range(3)])
def test_one(suite, implementation, case):
    assert case < 2

def test_other():
    pass
"""


def test_gate_counts_what_passed_by_op(tmp_path, capsys):
    (tmp_path / "test_some.py").write_text(TESTS)
    pytest_run = [sys.executable, "-m", "pytest", "-p", "tools.gpu_gate", "-q", "-rf", "-p", "no:cacheprovider"]
    folder = tmp_path / "contract"
    assert gpu_gate.split(2, folder, [*pytest_run, str(tmp_path / "test_some.py")]) == 1
    printed = capsys.readouterr().out
    assert "FAILED" in printed
    assert "3 passed" in printed
    document = {"gpu": "Some GPU", **gpu_gate.merged(folder)}
    assert document["passed"] == {"sddmm": {"reference": 2}, "spmm": {"reference": 2}}
    assert document["failed"] == {"sddmm": {"reference": 1}, "spmm": {"reference": 1}}
    gate = json.loads(gpu_gate.write(document, tmp_path).read_text())
    assert tested._devices([gate], "spmm", "reference") == ["Some GPU"]
    assert tested._devices([gate], "spmm", "cuda") == []


FAKE_PYTHON = """#!/usr/bin/env bash
case "$*" in
  -) cat > /dev/null; echo 90 ;;
  *build_ext*) sleep 3 ;;
  *contract*cuda-cuda*) echo "FAILED tests/ops/test_contract.py::one"; exit 1 ;;
  *benchmarks.gpu*) echo "the table" ;;
esac
"""


def test_script_goes_on_after_a_failing_step_and_fails(tmp_path):
    """With programs that play a device's; the build is given a second and takes three."""
    programs = {"python": FAKE_PYTHON, "nvidia-smi": "#!/usr/bin/env bash", "nvcc": "#!/usr/bin/env bash"}
    (tmp_path / "bin").mkdir()
    (tmp_path / "tools").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    for tool in ("bash", "cat", "cut", "dirname", "grep", "mkdir", "nproc", "rm", "sleep", "tail", "tee", "timeout"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    script = tmp_path / "tools" / "gpu.sh"
    assert "step build 170 " in SCRIPT.read_text()
    script.write_text(SCRIPT.read_text().replace("step build 170 ", "step build 1 "))
    env = {"PATH": f"{tmp_path}/bin", "PYTHON": f"{tmp_path}/bin/python", "CUDA_HOME": "/none"}
    done = run("bash", str(script), env=env)
    steps = [line.split()[:2] for line in (tmp_path / "build/gpu/steps.txt").read_text().splitlines()]
    outcomes = ["out-of-time", "failed", "passed", "skipped", "skipped", "passed"]
    names = ["build", "contract", "device", "memcheck", "racecheck", "benchmarks"]
    assert steps == [list(pair) for pair in zip(names, outcomes, strict=True)]
    assert done.returncode == 1
    assert done.stderr == "FAILED: build contract\n"
    assert 0 < done.stdout.index("test_contract.py::one") < done.stdout.index("the table")
