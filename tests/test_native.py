"""The native library as a binary, and how it behaves in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from graphkern import _native

needs_library = pytest.mark.skipif("cpu" not in _native.loaded, reason="libgraphkern_cpu is not built")
OBJECTS = sorted(Path(__file__).parents[1].glob("build/cmake-*/CMakeFiles/graphkern_avx*.dir/csrc/*/*.o"))

SPMM = """
import torch, graphkern as gk
torch.manual_seed(0)
adj = gk.CSR.from_edge_index(torch.randint(0, 50, (2, 400)), 50, 50)
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
    x = torch.randn(50, 37).to(dtype)
    for reduce in ("sum", "mean", "max"):
        with gk.use("reference"):
            want = gk.spmm(adj, x, reduce=reduce)
        torch.testing.assert_close(gk.spmm(adj, x, reduce=reduce), want)
print(gk._native.isa(), gk._op.OPS["spmm"].active("cpu"))
"""


def _python(code: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )


@needs_library
@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same(isa):
    done = _python(SPMM, GRAPHKERN_ISA=isa)
    if "not on this processor" in done.stderr:
        pytest.skip(f"this processor has no {isa}")
    assert done.stdout.split() == [isa, "cpu"], done.stderr


@needs_library
def test_unknown_instruction_set_is_an_error():
    done = _python(SPMM, GRAPHKERN_ISA="sse9")
    assert done.returncode == 1
    assert "one of baseline, avx2, avx512" in done.stderr


def test_works_without_native_libraries(tmp_path):
    """As installed where there was no compiler: the references serve, and doctor says why."""
    package = Path(_native.__file__).parent
    shutil.copytree(package, tmp_path / "graphkern", ignore=shutil.ignore_patterns("*.so", "_build_info.json"))
    code = SPMM + "from graphkern import _doctor; _doctor.main()"
    done = _python(code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "none reference" in done.stdout
    assert "absent: not built" in done.stdout
    assert "graphkern runs on its slow references: not built" in done.stderr


@pytest.mark.skipif(not OBJECTS or shutil.which("nm") is None, reason="no build folder here, or no nm")
def test_wider_instruction_sets_share_no_weak_symbols():
    """A weak symbol from an AVX-512 object may be the copy that the linker keeps for every processor, unless its name
    says which instruction set it is for."""
    printed = subprocess.run(["nm", "-C", *OBJECTS], capture_output=True, text=True, check=True).stdout
    weak = [line for line in printed.splitlines() if line[17:18] in "VWu" and line[17:18]]
    assert not [line for line in weak if "graphkern::avx2::" not in line and "graphkern::avx512::" not in line]
