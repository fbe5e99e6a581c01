"""Rows of features by an index, the hot ones of them from a cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import check_range
from graphkern.ops import _axis, _check
from graphkern.ops.gather_rows.reference import gather_rows as reference


def gather_rows(x: Tensor, index: Tensor, hot: Tensor | None = None, slot: Tensor | None = None) -> Tensor:
    """Rows of x, on the device of index.

    out[i] = hot[slot[index[i]]] where slot[index[i]] >= 0, else x[index[i]]

    Args:
        x: [N, ...], any dtype; on the device of index, or where that is a CUDA device in page-locked host memory: then
            the device reads the rows where they are, and x must live until it has.
        index: [n] int32 or int64.
        hot: [C, ...], dtype of x: copies of rows of x, on the device of index; None for none.
        slot: [N] int32, on the device of index: the row of hot that is a copy of a row of x, negative for none. Given
            where hot is.
    Returns: [n, ...], dtype of x, on the device of index.
    Raises: TypeError for a dtype; ValueError for a shape or device, or (CPU) for an index not in [0, N) or a slot not
        below C. CUDA gives zeros there: to find it would make each call wait for the device.
    Cost: reads n rows and writes them. An x with gaps is copied whole; page-locked for a device it must have none
        (RuntimeError). No gradient: features are data; rows that learn are looked up by
        ``torch.nn.functional.embedding``.
    Source: Min et al. 2021 (arXiv:2103.03330), features read from host memory by the device.
    """
    _validate(x, index, hot, slot)
    width = math.prod(x.shape[1:])
    rows = x.reshape(x.shape[0], width)
    cache = None if hot is None else hot.reshape(hot.shape[0], width)

    def check() -> None:
        check_range(index, x.shape[0], "index")
        if hot is not None and slot is not None and slot.numel() > 0 and int(slot.max()) >= hot.shape[0]:
            raise ValueError(f"slot must be below {hot.shape[0]} but has {int(slot.max())}")

    out = _axis.guarded(GATHER_ROWS, (rows, cache, slot, index), check)
    return out.reshape(index.shape[0], *x.shape[1:])


def _validate(x: Tensor, index: Tensor, hot: Tensor | None, slot: Tensor | None) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a Tensor but is {type(x).__name__}")
    if x.dim() == 0:
        raise ValueError("x must have rows but is 0-D")
    _check.index_dtype(index, "index")
    if index.dim() != 1:
        raise ValueError(f"index must be 1-D but is {list(index.shape)}")
    if x.device != index.device and not is_within_reach(x, index.device):
        raise ValueError(f"x is on {x.device} and not page-locked, but index is on {index.device}")
    if hot is None and slot is None:
        return
    if not isinstance(hot, Tensor) or not isinstance(slot, Tensor):
        raise TypeError(f"hot and slot must be two Tensors but are {type(hot).__name__} and {type(slot).__name__}")
    if hot.dtype != x.dtype:
        raise TypeError(f"hot is {hot.dtype} but x is {x.dtype}")
    if slot.dtype != torch.int32:
        raise TypeError(f"slot must be int32 but is {slot.dtype}")
    if hot.dim() == 0 or hot.shape[1:] != x.shape[1:]:
        raise ValueError(f"hot must be {['C', *x.shape[1:]]} but is {list(hot.shape)}")
    if slot.shape != x.shape[:1]:
        raise ValueError(f"slot must be [{x.shape[0]}] but is {list(slot.shape)}")
    for name, tensor in (("hot", hot), ("slot", slot)):
        if tensor.device != index.device:
            raise ValueError(f"{name} is on {tensor.device} but index is on {index.device}")


def is_within_reach(x: Tensor, device: torch.device) -> bool:
    """Whether a CUDA device can read x in host memory. Not looked at while compiling."""
    is_host = x.device.type == "cpu" and device.type == "cuda"
    return is_host and (torch.compiler.is_compiling() or x.is_pinned())


def _fake(x: Tensor, hot: Tensor | None, slot: Tensor | None, index: Tensor) -> Tensor:
    return index.new_empty(index.shape[0], x.shape[1], dtype=x.dtype)


GATHER_ROWS = Op(
    "gather_rows",
    "(Tensor x, Tensor? hot, Tensor? slot, Tensor index) -> Tensor",
    reference=reference,
    fake=_fake,
)
