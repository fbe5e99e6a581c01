"""The product of a sparse matrix, given as index [2, E] and value [E], with a dense one."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern._kept import kept_with
from graphkern.compat.torch_sparse._product import product
from graphkern.csr import CSR


def spmm(index: Tensor, value: Tensor, m: int, n: int, matrix: Tensor) -> Tensor:
    """[*, m, F]: the product of an m x n matrix with matrix [*, n, F] or [n].

    Entries may come in any order, and repeated ones add up. The matrix is brought into rows once for an index tensor
    and kept with it. Differentiable in value and matrix.
    Raises: ValueError for a wrong shape or an index out of range.
    """
    if matrix.dim() == 0 or value.shape != index.shape[1:]:
        raise ValueError(
            f"index, value, matrix must be [2, E], [E], [*, {n}, F] but are {list(index.shape)},"
            f" {list(value.shape)}, {list(matrix.shape)}"
        )
    matrix = matrix if matrix.dim() > 1 else matrix.unsqueeze(-1)
    if matrix.shape[-2] != n:
        raise ValueError(f"matrix must be [*, {n}, F] but is {list(matrix.shape)}")
    dtype = torch.result_type(value, matrix)
    adj = kept_with((index,), ("torch_sparse.spmm", m, n), lambda: CSR.from_edge_index(index.detach().flip(0), m, n))
    return product(adj, value.to(dtype)[adj.edge_id], matrix.to(dtype), "sum")
