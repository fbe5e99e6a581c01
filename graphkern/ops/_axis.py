"""What the segment and scatter ops share: the reduced axis, and checks of indptr and of index values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkern.ops import _check


def axis(src: Tensor, dim: int) -> int:
    """dim counted from the front."""
    if not -src.dim() <= dim < src.dim():
        raise ValueError(f"dim must be in [{-src.dim()}, {src.dim()}) but is {dim}")
    return dim % src.dim()


def flatten(src: Tensor, dim: int) -> Tensor:
    """[B, L, K]: the axes before dim, dim, the axes after it."""
    if dim == 0 and src.dim() == 2:
        return src.unsqueeze(0)
    shape = src.shape
    return src.reshape(math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :]))


def unflatten(out: Tensor, src: Tensor, dim: int) -> Tensor:
    """[B, N, K] in the shape of src, with N in place of its axis dim."""
    if dim == 0 and src.dim() == 2:
        return out.squeeze(0)
    return out.reshape(*src.shape[:dim], out.shape[1], *src.shape[dim + 1 :])


def is_index(index: Tensor, name: str, src: Tensor) -> None:
    """An int32 or int64 tensor on the device of src."""
    _check.index_dtype(index, name)
    if index.device != src.device:
        raise ValueError(f"{name} is on {index.device} but the values are on {src.device}")


def is_indptr(indptr: Tensor, src: Tensor, num_segments: int | None = None) -> None:
    """[S + 1] int32 or int64 on the device of src."""
    is_index(indptr, "indptr", src)
    if indptr.dim() != 1 or indptr.shape[0] == 0:
        raise ValueError(f"indptr must be [S + 1] but is {list(indptr.shape)}")
    if num_segments is not None and indptr.shape[0] != num_segments + 1:
        raise ValueError(f"indptr must be [{num_segments + 1}] but is {list(indptr.shape)}")


def indptr_values(indptr: Tensor, length: int, whole: bool = False) -> None:
    """indptr never decreases and stays in [0, length]; whole: it begins at 0 and ends at length."""
    if (indptr[1:] < indptr[:-1]).any():
        raise ValueError("indptr must never decrease")
    first, last = int(indptr[0]), int(indptr[-1])
    if first < 0 or last > length or (whole and (first > 0 or last < length)):
        wanted = f"run from 0 to {length}" if whole else f"stay in [0, {length}]"
        raise ValueError(f"indptr must {wanted} but runs from {first} to {last}")


def guarded(op: Callable, args: tuple, check: Callable[[], None]) -> Any:
    """op(*args). The kernels refuse bad index values; only then are they looked at here, to raise what says why."""
    if torch.compiler.is_compiling():
        return op(*args)
    try:
        return op(*args)
    except (RuntimeError, IndexError):
        check()
        raise
