"""What the Triton launchers share: block sizes, dtypes, grids."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

MAX_GRID = 2**31 - 1  # programs along the first grid axis
TYPE_NAMES = {
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int32: "i32",
    torch.int64: "i64",
}


class Variant(NamedTuple):
    """One compilation of a kernel: pointer arguments by dtype, the flags, and the warps of a program."""

    kernel: Any
    pointers: dict[str, torch.dtype]
    constexprs: dict[str, Any]
    num_warps: int

    def signature(self) -> dict[str, str]:
        """Argument name -> Triton type; what is neither pointer nor constexpr is a 64-bit count."""
        types = {name: "*" + TYPE_NAMES[dtype] for name, dtype in self.pointers.items()}
        types |= dict.fromkeys(self.constexprs, "constexpr")
        return {name: types.get(name, "i64") for name in self.kernel.arg_names}


def accumulate(dtype: torch.dtype) -> tl.dtype:
    """The dtype that sums are kept in."""
    return tl.float64 if dtype == torch.float64 else tl.float32


class Blocks(NamedTuple):
    """A program holds BLOCK_N rows x BLOCK_E edges of each x BLOCK_F features at a time."""

    n: int
    e: int
    f: int

    @property
    def num_warps(self) -> int:
        return max(1, min(4, self.n * self.e * self.f // 256))

    def flags(self) -> dict[str, int]:
        return {"BLOCK_N": self.n, "BLOCK_E": self.e, "BLOCK_F": self.f}

    def grid(self, num_rows: int, columns: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """(first row, grid) of each launch: blocks of rows along the first axis, columns along the second."""
        step = MAX_GRID * self.n
        for first in range(0, num_rows, step) if columns else ():
            yield first, (triton.cdiv(min(step, num_rows - first), self.n), columns)


def blocks(features: int, num_rows: int) -> Blocks:
    """8 values a thread on a device; many more at a time in the interpreter, whose cost goes by the operation."""
    f = min(128, triton.next_power_of_2(max(features, 1)))
    if interpreted():
        n = min(64, triton.next_power_of_2(max(num_rows, 1)))
        return Blocks(n, max(8, min(128, 2**16 // (n * f))), f)
    return Blocks(max(1, min(8, 128 // f)), 8, f)


def interpreted() -> bool:
    return triton.knobs.runtime.interpret


def empty(like: Tensor, *shape: int) -> Tensor:
    """An output to store to. The interpreter truncates to bfloat16 where devices round, so there it is float32."""
    truncates = interpreted() and like.dtype == torch.bfloat16
    return like.new_empty(shape, dtype=torch.float32 if truncates else like.dtype)


def on_device(x: Tensor) -> contextlib.AbstractContextManager:
    return torch.cuda.device_of(x) if x.is_cuda else contextlib.nullcontext()
