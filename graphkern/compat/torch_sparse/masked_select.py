"""Rows, columns, components or entries by mask."""

from __future__ import annotations

from torch import Tensor

from graphkern.compat.torch_sparse.index_select import index_select
from graphkern.compat.torch_sparse.storage import get_layout
from graphkern.compat.torch_sparse.tensor import SparseTensor


def masked_select(src: SparseTensor, dim: int, mask: Tensor) -> SparseTensor:
    """The rows (dim 0), columns (dim 1) or components where the mask [size of dim] is True."""
    dim = src.dim() + dim if dim < 0 else dim
    if mask.dim() != 1 or mask.numel() != src.size(dim):
        raise IndexError(f"mask must be [{src.size(dim)}] but is {mask.shape}")
    return index_select(src, dim, mask.nonzero().view(-1))


def masked_select_nnz(src: SparseTensor, mask: Tensor, layout: str | None = None) -> SparseTensor:
    """The entries where the mask [E] is True; it is in the order by row, or with layout "csc" by column."""
    if mask.dim() != 1 or mask.numel() != src.nnz():
        raise IndexError(f"mask must be [{src.nnz()}] but is {mask.shape}")
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
