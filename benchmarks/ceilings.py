"""What the memory allows on this machine: a plain copy, and rows read at given positions."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from .graphs import Absent
from .timing import SMOKE, median_seconds

AHEAD = (0, 8, 16, 32)  # rows


@functools.lru_cache
def copy_gbps() -> float:
    """GB/s that a plain copy moves, read and written."""
    source = torch.ones((1 if SMOKE else 64) << 20)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_seconds(lambda: target.copy_(source)) / 1e9


@functools.lru_cache
def last_level_cache() -> int:
    """Bytes of the largest cache of the first core; 32 MiB where the system does not say."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(size[:-1]) << {"K": 10, "M": 20}[size[-1]] for size in sizes), default=32 << 20)


@functools.lru_cache
def _library() -> ctypes.CDLL:
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise Absent("no g++ to compile gather_ceiling.cpp with")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "gather_ceiling.so"
        source = Path(__file__).with_name("gather_ceiling.cpp")
        flags = ["-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-pthread"]
        subprocess.run([compiler, *flags, "-o", target, source], check=True)
        return ctypes.CDLL(str(target))


def gather_gbps(table: Tensor, index: Tensor) -> float:
    """GB/s, rows and indices, that reading table[index] gives with torch's number of threads and the best prefetch.

    Args:
        table: [M, ...] contiguous; 32, 64, ..., 1024 bytes a row.
        index: [E] int32 or int64.
    Raises: Absent for another row width, or without a C++ compiler.
    """
    function = getattr(_library(), f"gather_int{8 * index.itemsize}")
    row_bytes, total = table.nbytes // max(table.shape[0], 1), ctypes.c_uint64()
    pointers = ctypes.c_void_p(table.data_ptr()), ctypes.c_int64(row_bytes), ctypes.c_void_p(index.data_ptr())
    size, threads = ctypes.c_int64(index.numel()), torch.get_num_threads()
    repeats = 1 if SMOKE else max(1, 2_000_000 // max(index.numel(), 1))

    def read(ahead: int) -> None:
        for _ in range(repeats):
            if function(*pointers, size, ctypes.c_int64(ahead), threads, ctypes.byref(total)):
                raise Absent(f"gather_ceiling.cpp has no rows of {row_bytes} bytes")

    seconds = min(median_seconds(lambda ahead=ahead: read(ahead), rounds=1 if SMOKE else 3) for ahead in AHEAD)
    return repeats * (row_bytes * index.numel() + index.nbytes) / seconds / 1e9


_CACHE: dict[tuple, float] = {}


def gather_ceilings(name: str, table: Tensor, index: Tensor) -> tuple[float, float]:
    """GB/s of reading rows at uniformly random positions, and at the positions that `index` has, in its order.

    name: of the graph; measured once for each name, row width, index dtype and number of threads.
    """
    row_bytes = table.nbytes // max(table.shape[0], 1)
    key = (name, table.shape[0], row_bytes, index.dtype, torch.get_num_threads())
    if key not in _CACHE:
        generator = torch.Generator().manual_seed(0)
        anywhere = torch.randint(0, max(table.shape[0], 1), index.shape, generator=generator, dtype=index.dtype)
        _CACHE[key] = gather_gbps(table, anywhere), gather_gbps(table, index)
    return _CACHE[key]
