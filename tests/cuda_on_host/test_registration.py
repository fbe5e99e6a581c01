"""The CUDA library, built where torch has no CUDA: it loads, and each kernel takes its operator's arguments."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import graphkern

LIBRARY = Path(graphkern.__file__).parent / "libgraphkern_cuda.so"
pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason="libgraphkern_cuda.so is not built (needs nvcc)"),
    pytest.mark.skipif(torch.version.cuda is not None, reason="with a CUDA torch the contract suite calls the kernels"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="no g++"),
]

# The one symbol that a CPU torch lacks, in a library that bears the name under which the loader looks for it.
STUB = 'extern "C" int aoti_torch_get_current_cuda_stream(int, void** stream) { *stream = nullptr; return 0; }'

# CPU tensors sent to the CUDA kernels: every kernel must get as far as refusing their device.
SCRIPT = """
import ctypes, sys, torch
ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
from graphkern.csr import CSR
torch.ops.load_library(sys.argv[2])
adj = CSR(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 2]), 3)
graph = adj.tensors(True)
pair = (*graph[:2], *graph[3:])
x, grad, weight, arg = torch.ones(3, 4), torch.ones(2, 4), torch.ones(3, 1), torch.zeros(2, 4, dtype=torch.int64)
calls = {
    "spmm": (*graph, x, weight, "sum"),
    "sddmm": (*graph, grad, x, 1),
    "spmm_extremum": (*pair, x, weight, "max", True),
    "spmm_extremum_grad_x": (*pair, grad, arg, weight),
    "spmm_extremum_grad_weight": (*pair, grad, arg, x, 1),
}
for name, arguments in calls.items():
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"graphkern::{name}", "CUDA"), name
    try:
        op = getattr(torch.ops.graphkern, name).default
        op.redispatch(torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA), *arguments)
    except RuntimeError as error:
        assert "expected all tensors on one CUDA device" in str(error), error
    else:
        raise AssertionError(f"{name} took CPU tensors")
"""


def test_kernels_take_the_operators_arguments(tmp_path: Path) -> None:
    source, stub = tmp_path / "stub.cpp", tmp_path / "libtorch_cuda.so"
    source.write_text(STUB)
    flags = ["-shared", "-fPIC", "-Wl,-soname,libtorch_cuda.so"]
    subprocess.run(["g++", *flags, str(source), "-o", str(stub)], check=True)
    command = [sys.executable, "-c", SCRIPT, str(stub), str(LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
