"""The CUDA library, built where torch has no CUDA: it loads, and registers every kernel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import graphkern

from ..tested import registered

LIBRARY = Path(graphkern.__file__).parent / "libgraphkern_cuda.so"
pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason="libgraphkern_cuda.so is not built (needs nvcc)"),
    pytest.mark.skipif(torch.version.cuda is not None, reason="with a CUDA torch the contract suite calls the kernels"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="no g++"),
]

# The one symbol that a CPU torch lacks, in a library that bears the name under which the loader looks for it.
STUB = 'extern "C" int aoti_torch_get_current_cuda_stream(int, void** stream) { *stream = nullptr; return 0; }'

# CPU tensors sent to a CUDA kernel: it gets as far as refusing their device.
SCRIPT = """
import ctypes, sys, torch
ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
from graphkern.csr import CSR
torch.ops.load_library(sys.argv[2])
for name in sys.argv[3:]:
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"graphkern::{name}", "CUDA"), name
adj = CSR(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 2]), 3)
try:
    cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    torch.ops.graphkern.spmm.default.redispatch(cuda, *adj.tensors(True), torch.ones(3, 4), None, "sum")
except RuntimeError as error:
    assert "expected all tensors on one CUDA device" in str(error), error
else:
    raise AssertionError("spmm took CPU tensors")
"""


def test_library_registers_every_kernel(tmp_path: Path) -> None:
    source, stub = tmp_path / "stub.cpp", tmp_path / "libtorch_cuda.so"
    source.write_text(STUB)
    flags = ["-shared", "-fPIC", "-Wl,-soname,libtorch_cuda.so"]
    subprocess.run(["g++", *flags, str(source), "-o", str(stub)], check=True)
    command = [sys.executable, "-c", SCRIPT, str(stub), str(LIBRARY), *registered("csrc/*/*_cuda.cu")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
