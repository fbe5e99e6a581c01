"""The product of two sparse matrices, given as index [2, E] and value [E]."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse.matmul import spspmm as sparse_product
from graphkern.compat.torch_sparse.tensor import SparseTensor


def spspmm(
    indexA: Tensor,  # noqa: N803
    valueA: Tensor | None,  # noqa: N803
    indexB: Tensor,  # noqa: N803
    valueB: Tensor | None,  # noqa: N803
    m: int,
    k: int,
    n: int,
    coalesced: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The product of an m x k with a k x n matrix. Both must be sorted, or coalesced=True sorts them."""
    a = SparseTensor(row=indexA[0], col=indexA[1], value=valueA, sparse_sizes=(m, k), is_sorted=not coalesced)
    b = SparseTensor(row=indexB[0], col=indexB[1], value=valueB, sparse_sizes=(k, n), is_sorted=not coalesced)
    row, col, value = sparse_product(a, b).coo()
    return torch.stack([row, col]), value
