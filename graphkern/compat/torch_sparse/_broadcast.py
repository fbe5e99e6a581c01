"""Dense rows and columns beside the entries of a sparse matrix."""

from __future__ import annotations

from torch import Tensor

from graphkern.compat.torch_sparse.tensor import SparseTensor
from graphkern.compat.torch_sparse.utils import spread


def at_entries(src: SparseTensor, other: Tensor) -> Tensor:
    """[E, *]: for each entry the value of its row in other [M, 1, *], or of its column in other [1, N, *]."""
    num_rows, num_cols = src.sparse_sizes()
    if other.dim() >= 2 and other.size(0) == num_rows and other.size(1) == 1:
        return spread(other.squeeze(1), src.storage.rowptr(), src.storage.row())
    if other.dim() >= 2 and other.size(0) == 1 and other.size(1) == num_cols:
        return other.squeeze(0)[src.storage.col()]
    raise ValueError(f"other must be [{num_rows}, 1, ...] or [1, {num_cols}, ...] but is {other.shape}")
