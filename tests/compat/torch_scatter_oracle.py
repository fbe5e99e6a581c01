"""torch_scatter by its documentation, in NumPy, one line of entries at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
TOLERANCE = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
    torch.float32: {"rtol": 2e-5, "atol": 2e-5},
    torch.float16: {"rtol": 4e-3, "atol": 4e-3},  # halves round once a step
    torch.bfloat16: {"rtol": 2e-2, "atol": 3e-2},
    **{dtype: {"rtol": 0, "atol": 0} for dtype in INTEGERS},
}


def values(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Small numbers with ties, negative where the dtype has such, without 0."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(1, 7, shape, generator=generator)
    if dtype != torch.uint8:
        numbers = numbers * (torch.randint(0, 2, shape, generator=generator) * 2 - 1)
    return (numbers / 4).to(dtype) if dtype.is_floating_point else numbers.to(dtype)


def indices(shape: tuple[int, ...], size: int, seed: int = 0, ordered: bool = False) -> Tensor:
    """In [0, size), with a place that nothing names where size > 2."""
    generator = torch.Generator().manual_seed(seed + 100)
    index = torch.randint(0, max(size - 1, 1), shape, generator=generator)
    index = torch.where(index == 1, size - 1, index) if size > 2 else index
    return index.sort(-1).values if ordered else index


def array(tensor: Tensor) -> np.ndarray:
    """Exact: float64 for floating values, int64 for others."""
    return tensor.detach().to(torch.float64 if tensor.is_floating_point() else torch.int64).numpy()


def lines(shape: tuple[int, ...], dim: int) -> Iterator[tuple]:
    """Index of each line along dim."""
    dim %= len(shape)
    for place in np.ndindex(*shape[:dim], *shape[dim + 1 :]):
        yield (*place[:dim], slice(None), *place[dim:])


def spread(index: np.ndarray, shape: tuple[int, ...], dim: int) -> np.ndarray:
    """1-D lies along dim, another begins at the first axis."""
    dim %= len(shape)
    leading = dim if index.ndim == 1 else 0
    trailing = len(shape) - leading - index.ndim
    return np.broadcast_to(index.reshape((1,) * leading + index.shape + (1,) * trailing), shape)


def scatter(
    src: Tensor, index: Tensor, dim: int, size: int, reduce: str, out: Tensor | None = None, rounding=np.floor
) -> tuple[np.ndarray, np.ndarray]:
    """(result, arg), both as `array` has them; arg only means something for min and max."""
    numbers = array(src)
    places = spread(index.numpy(), numbers.shape, dim)
    shape = list(numbers.shape)
    length, shape[dim] = shape[dim], size
    start = 1 if reduce == "mul" and numbers.size else 0
    result = np.full(shape, start, numbers.dtype) if out is None else array(out).copy()
    arg = np.full(shape, length)
    for line in lines(numbers.shape, dim):
        for n in range(size):
            entries = np.flatnonzero(places[line] == n)
            _one_place(result[line], arg[line], n, numbers[line], entries, reduce, out is not None, rounding)
    return result, arg


def _one_place(result, arg, n, numbers, entries, reduce, given, rounding) -> None:
    if reduce == "mul":
        result[n] *= numbers[entries].prod()
    elif reduce in ("sum", "mean"):
        result[n] += numbers[entries].sum()
        if reduce == "mean":
            mean = result[n] / max(len(entries), 1)
            result[n] = mean if numbers.dtype.kind == "f" else rounding(mean)
    elif len(entries):
        first = entries[(numbers[entries].argmax if reduce == "max" else numbers[entries].argmin)()]
        beats = numbers[first] > result[n] if reduce == "max" else numbers[first] < result[n]
        if beats or not given:
            result[n], arg[n] = numbers[first], first


def segments(src: Tensor, indptr: Tensor, reduce: str) -> tuple[np.ndarray, np.ndarray]:
    """(result, arg) of segment_csr."""
    numbers, dim = array(src), indptr.dim() - 1
    pointers = np.broadcast_to(indptr.numpy(), (*numbers.shape[:dim], indptr.shape[-1]))
    shape = list(numbers.shape)
    length, shape[dim] = shape[dim], indptr.shape[-1] - 1
    result, arg = np.zeros(shape, numbers.dtype), np.full(shape, length)
    for line in lines(numbers.shape, dim):
        pointer = pointers[line[:dim]]
        for s, (begin, end) in enumerate(itertools.pairwise(pointer)):
            entries = np.arange(begin, end)
            _one_place(result[line], arg[line], s, numbers[line], entries, reduce, False, np.trunc)
    return result, arg


def same(got: Tensor, want: np.ndarray, dtype: torch.dtype) -> None:
    assert got.dtype == dtype
    exact = torch.from_numpy(np.ascontiguousarray(want))
    exact = exact if dtype.is_floating_point else exact.to(dtype)
    torch.testing.assert_close(got.detach().to(exact.dtype), exact, **TOLERANCE[dtype])
