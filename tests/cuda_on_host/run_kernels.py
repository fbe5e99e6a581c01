"""Runs compiled kernels on saved calls: python run_kernels.py LIBRARY CALLS RESULTS. NumPy only, to start fast."""

from __future__ import annotations

import ctypes
import pickle
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Call(NamedTuple):
    """function(type, arrays..., numbers...); what it writes is numbered in outputs."""

    function: str
    type: tuple[int, int, int]  # value type, index bytes, shift in bytes
    arrays: list[np.ndarray | None]
    outputs: tuple[int, ...]
    numbers: tuple[int, ...]


class Array(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("bytes", ctypes.c_int64))


def run(library: ctypes.CDLL, call: Call) -> list[np.ndarray]:
    arrays = [Array() if a is None else Array(a.ctypes.data, a.nbytes) for a in call.arrays]
    numbers = [ctypes.c_int64(number) for number in call.numbers]
    getattr(library, call.function)((ctypes.c_int64 * 3)(*call.type), *arrays, *numbers)
    return [call.arrays[i] for i in call.outputs]


if __name__ == "__main__":
    library_path, calls_path, results_path = sys.argv[1:]
    library = ctypes.CDLL(library_path)
    calls = [Call(*fields) for fields in pickle.loads(Path(calls_path).read_bytes())]
    Path(results_path).write_bytes(pickle.dumps([run(library, call) for call in calls]))
