"""The played device in this process: one build's library, its kernels in place of the CPU's, its schedule."""

from __future__ import annotations

import contextlib
import ctypes
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from graphkern._op import NAMESPACE, OPS


class Schedule(NamedTuple):
    """seed 0: program order, else choices are drawn; resident: blocks that interleave; preempt: pauses at atomics."""

    seed: int
    resident: int
    preempt: float


SCHEDULES = (Schedule(0, 1, 0.0), Schedule(1, 3, 0.0), Schedule(2, 3, 0.3))


class Device:
    """A library that build.build() made. A process can load one."""

    def __init__(self, library: Path) -> None:
        torch.ops.load_library(library)
        self._control = ctypes.CDLL(str(library))
        self._control.on_host_sites.restype = ctypes.c_char_p
        self._control.on_host_schedule.argtypes = [ctypes.c_uint64, ctypes.c_int, ctypes.c_double]
        self.ops = sorted(name for name in OPS if self._has_kernel(name))
        self.served: Counter[str] = Counter()  # calls by operator

    @staticmethod
    def _has_kernel(name: str) -> bool:
        return torch._C._dispatch_has_kernel_for_dispatch_key(f"{NAMESPACE}::{name}", "CUDA")

    def schedule(self, schedule: Schedule) -> None:
        self._control.on_host_schedule(*schedule)

    def sites(self) -> Counter[str]:
        """How often each barrier and atomic ran so far: "file:line:column kind"."""
        lines = self._control.on_host_sites().decode().splitlines()
        return Counter({site: int(count) for site, count in (line.split("\t") for line in lines)})

    def remove(self, site: str = "") -> None:
        """Take a barrier away, or make an atomic a plain read and write."""
        self._control.on_host_remove(site.encode())

    def fault(self, name: str) -> str | None:
        """What is said of a kernel of faults.cpp, in the library of those."""
        function = self._control.on_host_fault
        function.restype = ctypes.c_char_p
        said = function(name.encode())
        return None if said is None else said.decode()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The CUDA kernels take calls on CPU tensors."""
        with torch.library._scoped_library(NAMESPACE, "IMPL") as library:
            for name in self.ops:
                library.impl(name, self._redirect(name), "CPU", allow_override=True)
            yield

    def _redirect(self, name: str) -> Callable:
        operator = getattr(getattr(torch.ops, NAMESPACE), name).default
        cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)

        def call(*args: Any) -> Any:
            self.served[name] += 1
            return operator.redispatch(cuda, *args)

        return call
