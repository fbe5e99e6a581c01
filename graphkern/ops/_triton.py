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


def blocks(features: int) -> tuple[int, int, int]:
    """(BLOCK_E, BLOCK_F, num_warps): a program holds BLOCK_E edges x BLOCK_F features at a time, 16 values a thread."""
    block_f = min(128, triton.next_power_of_2(max(features, 1)))
    block_e = 16 if block_f >= 64 else 32
    return block_e, block_f, max(1, min(4, block_e * block_f // 512))


def row_slices(num_rows: int) -> Iterator[tuple[int, int]]:
    """(first row, number of rows) of each launch."""
    for first in range(0, num_rows, MAX_GRID):
        yield first, min(MAX_GRID, num_rows - first)


def empty(like: Tensor, *shape: int) -> Tensor:
    """An output to store to. The interpreter truncates to bfloat16 where devices round, so there it is float32."""
    interpreted = triton.knobs.runtime.interpret and like.dtype == torch.bfloat16
    return like.new_empty(shape, dtype=torch.float32 if interpreted else like.dtype)


def on_device(x: Tensor) -> contextlib.AbstractContextManager:
    return torch.cuda.device_of(x) if x.is_cuda else contextlib.nullcontext()
