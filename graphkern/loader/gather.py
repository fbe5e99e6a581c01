"""Rows of features for a batch."""

from __future__ import annotations

import math
from typing import overload

import torch
from torch import Tensor

from graphkern.ops import _check
from graphkern.ops.gather_index import GATHER_INDEX


@overload
def take_rows(x: Tensor, index: Tensor) -> Tensor: ...
@overload
def take_rows(x: None, index: Tensor) -> None: ...
@overload
def take_rows(x: Tensor | None, index: Tensor) -> Tensor | None: ...
def take_rows(x: Tensor | None, index: Tensor) -> Tensor | None:
    """x[index], on the device of x; in page-locked memory where x is on the host and CUDA is there. None for None.

    Args:
        x: [N, ...], any dtype. It may be a memory-mapped file: only the rows taken are read.
        index: [n] int32 or int64.
    Raises: RuntimeError or IndexError for an index out of range.
    Cost: one copy of n rows. No gradient.
    """
    if x is None:
        return None
    index = index.to(x.device)
    shape = (index.shape[0], *x.shape[1:])
    if x.device.type == "cpu" and torch.cuda.is_available():
        return torch.index_select(x, 0, index, out=torch.empty(shape, dtype=x.dtype, pin_memory=True))
    if x.device.type != "cpu" or not x.is_contiguous() or x.dtype not in _check.FLOAT_DTYPES:
        return x.index_select(0, index)
    rows = x.reshape(1, x.shape[0], math.prod(x.shape[1:]))
    return GATHER_INDEX.forward_only(rows, index[None, :, None]).reshape(shape)
