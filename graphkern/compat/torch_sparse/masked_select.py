"""Rows, columns, components or entries by mask."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse._check import axis_of
from graphkern.compat.torch_sparse.index_select import index_select
from graphkern.compat.torch_sparse.storage import get_layout
from graphkern.compat.torch_sparse.tensor import SparseTensor


def masked_select(src: SparseTensor, dim: int, mask: Tensor) -> SparseTensor:
    """The rows (dim 0), columns (dim 1) or components where the mask [size of dim] is True.

    Raises: TypeError for a mask that is not bool (or uint8), IndexError for one of another shape.
    """
    dim = axis_of(dim, src.dim())
    _check(mask, src.size(dim))
    return index_select(src, dim, mask.nonzero().view(-1))


def masked_select_nnz(src: SparseTensor, mask: Tensor, layout: str | None = None) -> SparseTensor:
    """The entries where the mask [E] is True; it is in the order by row, or with layout "csc" by column.

    Raises: as masked_select.
    """
    _check(mask, src.nnz())
    if get_layout(layout) == "csc":
        mask = mask[src.storage.csc2csr()]
    row, col, value = src.coo()
    return SparseTensor(
        row=row[mask],
        col=col[mask],
        value=None if value is None else value[mask],
        sparse_sizes=src.sparse_sizes(),
        is_sorted=True,
        trust_data=True,
    )


def _check(mask: Tensor, size: int) -> None:
    if mask.dtype != torch.bool and mask.dtype != torch.uint8:
        raise TypeError(f"mask must be bool but is {mask.dtype}")
    if mask.dim() != 1 or mask.numel() != size:
        raise IndexError(f"mask must be [{size}] but is {mask.shape}")
