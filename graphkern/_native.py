"""Finds and loads the native libraries, and remembers why one is absent."""

from __future__ import annotations

import ctypes
import json
import warnings
from pathlib import Path

import torch

_FOLDER = Path(__file__).parent

loaded: dict[str, Path] = {}
absent: dict[str, str] = {}  # library name -> reason


def load() -> None:
    """Load libgraphkern_cpu, and libgraphkern_cuda where this torch has CUDA. Failures are kept in `absent`.

    Without the CPU library it warns: everything works, on the references, but slowly.
    """
    for name in ("cpu", "cuda"):
        path = _FOLDER / f"libgraphkern_{name}.so"
        if not path.exists():
            absent[name] = _why_not_built(name)
        elif name == "cuda" and torch.version.cuda is None:
            absent[name] = f"torch {torch.__version__} has no CUDA"
        else:
            try:
                torch.ops.load_library(path)
            except OSError as error:
                absent[name] = f"{path.name} failed to load: {error.__cause__ or error}"
            else:
                loaded[name] = path
    if "cpu" in absent:
        warnings.warn(f"graphkern runs on its slow references: {absent['cpu']} (see `graphkern doctor`)", stacklevel=3)


def build_info() -> dict[str, str]:
    """What setup.py recorded when it built: compiler, torch, CUDA, reasons for what was left out."""
    path = _FOLDER / "_build_info.json"
    return json.loads(path.read_text()) if path.exists() else {}


def isa() -> str:
    """The instruction set whose kernels run: baseline, avx2 or avx512 (or why GRAPHKERN_ISA cannot be met)."""
    if "cpu" not in loaded:
        return "none"
    function = ctypes.CDLL(str(loaded["cpu"])).graphkern_isa
    function.restype = ctypes.c_char_p
    return function().decode()


def _why_not_built(name: str) -> str:
    return build_info().get(f"{name}_absent", "not built: install with `pip install .` in a checkout")
