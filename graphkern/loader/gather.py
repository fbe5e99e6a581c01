"""Rows of features for a batch."""

from __future__ import annotations

import math
from typing import overload

import torch
from torch import Tensor

from graphkern.loader.features import CachedFeatures
from graphkern.ops.gather_rows import GATHER_ROWS, is_within_reach


@overload
def take_rows(x: Tensor | CachedFeatures, index: Tensor) -> Tensor: ...
@overload
def take_rows(x: None, index: Tensor) -> None: ...
@overload
def take_rows(x: Tensor | CachedFeatures | None, index: Tensor) -> Tensor | None: ...
def take_rows(x: Tensor | CachedFeatures | None, index: Tensor) -> Tensor | None:
    """x[index], where x is: in page-locked memory if that is on the host and CUDA is there. On the device of index if
    x is in page-locked memory, on its own if it is cached. None for None.

    Args:
        x: [N, ...], any dtype. It may be a memory-mapped file: only the rows taken are read.
        index: [n] int32 or int64.
    Raises: RuntimeError, IndexError or ValueError for an index out of range.
    Cost: one copy of n rows. No gradient.
    """
    if x is None:
        return None
    if isinstance(x, CachedFeatures):
        return x[index]
    shape = (index.shape[0], *x.shape[1:])
    if not is_within_reach(x, index.device):
        index = index.to(x.device)
        if x.device.type == "cpu" and torch.cuda.is_available():
            return torch.index_select(x, 0, index, out=torch.empty(shape, dtype=x.dtype, pin_memory=True))
    if not x.is_contiguous():
        return x.index_select(0, index.to(x.device))
    rows = x.reshape(x.shape[0], math.prod(x.shape[1:]))
    return GATHER_ROWS.forward_only(rows, None, None, index).reshape(shape)
