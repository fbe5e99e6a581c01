"""Checks of what a storage is made of, written so that TorchScript compiles them too."""

from __future__ import annotations

import torch
from torch import Tensor


def size_of(given: int | None, ptr: Tensor | None, index: Tensor | None) -> int:
    """The number of rows (or columns): as given, as pointers say, or one more than the largest index."""
    if given is not None:
        return given
    if ptr is not None:
        return ptr.numel() - 1
    if index is not None and index.numel() > 0:
        return int(index.max()) + 1
    return 0


def check_sizes(num_rows: int, num_cols: int) -> None:
    if num_rows < 0 or num_cols < 0:
        raise ValueError(f"sparse_sizes must not be negative but are ({num_rows}, {num_cols})")


def axis_of(dim: int, axes: int) -> int:
    """dim, or axes + dim where it is negative. Raises: IndexError, or ValueError for an axis of values where an entry
    has one number or none."""
    if axes == 2 and dim >= 2:
        raise ValueError(f"there is no axis {dim}: the entries are scalars")
    if dim < -axes or dim >= axes:
        raise IndexError(f"dim must be in [{-axes}, {axes}) but is {dim}")
    return dim + axes if dim < 0 else dim


def check_index(index: Tensor | None, name: str, size: int, like: Tensor) -> None:
    """[size] int64 on the device of like."""
    if index is None:
        return
    if index.dtype != torch.long:
        raise TypeError(f"{name} must be int64 but is {index.dtype}")
    if index.dim() != 1 or index.numel() != size:
        raise ValueError(f"{name} must be [{size}] but is {index.shape}")
    if index.device != like.device:
        raise ValueError(f"{name} is on {index.device} but col is on {like.device}")


def check_value(value: Tensor | None, col: Tensor) -> None:
    """[E, *] on the device of col [E]."""
    if value is None:
        return
    if value.device != col.device:
        raise ValueError(f"value is on {value.device} but col is on {col.device}")
    if value.dim() == 0 or value.size(0) != col.numel():
        raise ValueError(f"value must have {col.numel()} rows but is {value.shape}")


def check_range(index: Tensor | None, name: str, size: int) -> None:
    """Each value is in [0, size)."""
    if index is not None and index.numel() > 0:
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= size:
            raise ValueError(f"{name} must be in [0, {size}) but runs from {low} to {high}")


def check_pointers(ptr: Tensor | None, name: str, num_edges: int) -> None:
    """[S + 1] from 0 to num_edges, never decreasing."""
    if ptr is None:
        return
    if ptr.numel() == 0 or int(ptr[0]) != 0 or int(ptr[-1]) != num_edges or bool((ptr[1:] < ptr[:-1]).any()):
        raise ValueError(f"{name} must run from 0 to {num_edges} and never decrease")


def resized(tensor: Tensor | None, size: int, fill: int) -> Tensor | None:
    """Cut, or filled up at the end."""
    if tensor is None or tensor.numel() >= size:
        return None if tensor is None else tensor[:size]
    return torch.cat([tensor, torch.full([size - tensor.numel()], fill, dtype=tensor.dtype, device=tensor.device)])
