"""What the Triton launchers share: block sizes and their tuning, dtypes, grids."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.cache import get_cache_manager
from triton.runtime.errors import OutOfResources

T = TypeVar("T")
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
        """Argument name -> Triton type; what is neither pointer, constexpr nor annotated is a 64-bit count."""
        types = {param.name: param.annotation_type for param in self.kernel.params if param.annotation_type}
        types |= {name: "*" + TYPE_NAMES[dtype] for name, dtype in self.pointers.items()}
        types |= dict.fromkeys(self.constexprs, "constexpr")
        return {name: types.get(name, "i64") for name in self.kernel.arg_names}


def accumulate(dtype: torch.dtype) -> tl.dtype:
    """The dtype that sums are kept in."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def operand(dtype: torch.dtype) -> tl.dtype:
    """What tl.dot multiplies: the dtype itself, but the interpreter cannot multiply bfloat16."""
    widens = interpreted() and dtype == torch.bfloat16
    return tl.float32 if widens else getattr(tl, str(dtype).removeprefix("torch."))


class Blocks(NamedTuple):
    """A program of so many warps holds BLOCK_N rows x BLOCK_E edges of each x BLOCK_F features at a time."""

    n: int
    e: int
    f: int
    num_warps: int = 1

    def flags(self) -> dict[str, int]:
        return {"BLOCK_N": self.n, "BLOCK_E": self.e, "BLOCK_F": self.f}

    def grid(self, num_rows: int, columns: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """(first row, grid) of each launch: blocks of rows along the first axis, columns along the second."""
        step = MAX_GRID * self.n
        for first in range(0, num_rows, step) if columns else ():
            yield first, (triton.cdiv(min(step, num_rows - first), self.n), columns)


def candidates(features: int, num_rows: int) -> list[Blocks]:
    """What to choose from: 8 or 4 values a thread; many more at a time in the interpreter, whose cost goes by the
    operation. BLOCK_E and BLOCK_F, which the order of sums follows, are the same for all."""
    f = min(128, triton.next_power_of_2(max(features, 1)))
    if interpreted():
        n = min(64, triton.next_power_of_2(max(num_rows, 1)))
        return [Blocks(n, max(8, min(128, 2**16 // (n * f))), f)]
    first = max(1, min(8, 128 // f))
    warps = ((n, max(1, min(8, n * 8 * f // (32 * values)))) for values in (8, 4) for n in (first, 2 * first))
    return list(dict.fromkeys(Blocks(n, 8, f, num_warps) for n, num_warps in warps))


def blocks(features: int, num_rows: int) -> Blocks:
    return candidates(features, num_rows)[0]


class Tile(NamedTuple):
    """A program of so many warps computes BLOCK_M x BLOCK_N values by tl.dot."""

    m: int
    n: int
    num_warps: int

    def flags(self) -> dict[str, int]:
        return {"BLOCK_M": self.m, "BLOCK_N": self.n}


def tile(m: int, n: int) -> Tile:
    """With at most 32 x 32 values of two operands a warp."""
    return Tile(m, n, max(1, triton.next_power_of_2(m + n) // 32))


def programs(count: int) -> Iterator[tuple[int, int]]:
    """(first, number) of each launch of so many programs along the first axis."""
    for first in range(0, count, MAX_GRID):
        yield first, min(MAX_GRID, count - first)


def width(size: int, most: int) -> int:
    """The power of two that covers a size, within what tl.dot takes."""
    return max(16, min(most, triton.next_power_of_2(max(size, 1))))


_winners: dict[tuple, Any] = {}


def tuned(kernel: Any, choices: Sequence[T], key: Hashable, launch: Callable[[T], None]) -> None:
    """Launch with the fastest choice for a key, which is timed once and then kept, here and in Triton's cache on disk.

    Args:
        kernel: whose source the choice is kept for.
        choices: alternatives that give the same result. The first serves the interpreter, and a stream that is being
            captured; another is taken only where it is at least 5% faster.
        key: the class of problem, such as dtypes and rounded sizes.
        launch: launches with one choice; it is called several times, so it reads nothing that it writes.
    """
    choice = choices[0]
    if len(choices) > 1 and not interpreted():
        place = (kernel, torch.cuda.current_device(), key)
        if place not in _winners and not torch.cuda.is_current_stream_capturing():
            _winners[place] = _winner(kernel, choices, key, launch)
        choice = _winners.get(place, choice)
    launch(choice)


def magnitude(size: int) -> int:
    """The same for sizes up to a power of four: for keys of tuned()."""
    return (size.bit_length() + 1) // 2


def _winner(kernel: Any, choices: Sequence[T], key: Hashable, launch: Callable[[T], None]) -> T:
    problem = (triton.__version__, kernel.cache_key, torch.cuda.get_device_name(), key, choices)
    cache = get_cache_manager(hashlib.sha256(repr(problem).encode()).hexdigest())
    kept = cache.get_file("winner")
    if kept is not None:
        return choices[int(Path(kept).read_text())]
    times = [_milliseconds(functools.partial(launch, choice)) for choice in choices]
    best = times.index(min(times))
    best = best if times[best] < 0.95 * times[0] else 0
    cache.put(str(best), "winner", binary=False)
    return choices[best]


def _milliseconds(run: Callable[[], None]) -> float:
    """The shortest of five runs after one that compiles; infinite where the device cannot hold it."""
    try:
        run()
    except OutOfResources:
        return math.inf
    times = []
    for _ in range(5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return min(times)


def interpreted() -> bool:
    return triton.knobs.runtime.interpret


def empty(like: Tensor, *shape: int) -> Tensor:
    """An output to store to. The interpreter truncates to bfloat16 where devices round, so there it is float32."""
    truncates = interpreted() and like.dtype == torch.bfloat16
    return like.new_empty(shape, dtype=torch.float32 if truncates else like.dtype)


def on_device(x: Tensor) -> contextlib.AbstractContextManager:
    return torch.cuda.device_of(x) if x.is_cuda else contextlib.nullcontext()
