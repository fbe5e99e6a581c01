"""The transpose."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse.storage import SparseStorage
from graphkern.compat.torch_sparse.tensor import SparseTensor


def t(src: SparseTensor) -> SparseTensor:
    """The N x M transpose; what src has computed serves it too."""
    storage = src.storage
    csr2csc = storage.csr2csc()
    row, col, value = src.coo()
    num_rows, num_cols = storage.sparse_sizes()
    out = SparseStorage(
        row=col[csr2csc],
        rowptr=storage._colptr,
        col=row[csr2csc],
        value=None if value is None else value[csr2csc],
        sparse_sizes=(num_cols, num_rows),
        rowcount=storage._colcount,
        colptr=storage._rowptr,
        colcount=storage._rowcount,
        csr2csc=storage._csc2csr,
        csc2csr=csr2csc,
        is_sorted=True,
        trust_data=True,
    )
    return src.from_storage(out)


def transpose(
    index: Tensor, value: Tensor | None, m: int, n: int, coalesced: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Swap the rows of index [2, E] of an m x n matrix; coalesced: sort, and add what has one place."""
    row, col = index[1], index[0]
    if coalesced:
        storage = SparseStorage(row=row, col=col, value=value, sparse_sizes=(n, m)).coalesce()
        row, col, value = storage.row(), storage.col(), storage.value()
    return torch.stack([row, col]), value
