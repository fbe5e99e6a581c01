"""The functions on index [2, E] and value [E, *] alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkern._kept import kept_with
from graphkern.compat.torch_sparse._product import product
from graphkern.compat.torch_sparse.matmul import spspmm as sparse_product
from graphkern.compat.torch_sparse.storage import SparseStorage
from graphkern.compat.torch_sparse.tensor import SparseTensor
from graphkern.csr import CSR


def coalesce(index: Tensor, value: Tensor | None, m: int, n: int, op: str = "add") -> tuple[Tensor, Tensor | None]:
    """Sort the entries of an m x n matrix by row and column; op reduces what has one place."""
    storage = SparseStorage(row=index[0], col=index[1], value=value, sparse_sizes=(m, n)).coalesce(op)
    return torch.stack([storage.row(), storage.col()]), storage.value()


def eye(m: int, dtype: torch.dtype | None = None, device: Any = None) -> tuple[Tensor, Tensor]:
    """The m x m identity."""
    row = torch.arange(m, device=device)
    return torch.stack([row, row]), torch.ones(m, dtype=dtype, device=device)


def spmm(index: Tensor, value: Tensor, m: int, n: int, matrix: Tensor) -> Tensor:
    """[*, m, F]: the product of an m x n matrix with matrix [*, n, F] or [n].

    Entries may come in any order, and repeated ones add up. The matrix is brought into rows once for an index tensor
    and kept with it. Differentiable in value and matrix.
    """
    matrix = matrix if matrix.dim() > 1 else matrix.unsqueeze(-1)
    if matrix.shape[-2] != n:
        raise ValueError(f"matrix must be [*, {n}, F] but is {list(matrix.shape)}")
    dtype = torch.result_type(value, matrix)
    adj = kept_with((index,), ("torch_sparse.spmm", m, n), lambda: CSR.from_edge_index(index.detach().flip(0), m, n))
    return product(adj, value.to(dtype)[adj.edge_id], matrix.to(dtype), "sum")


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


def spadd(
    indexA: Tensor,  # noqa: N803
    valueA: Tensor,  # noqa: N803
    indexB: Tensor,  # noqa: N803
    valueB: Tensor,  # noqa: N803
    m: int,
    n: int,
) -> tuple[Tensor, Tensor | None]:
    """The sum of two m x n matrices."""
    return coalesce(torch.cat([indexA, indexB], dim=-1), torch.cat([valueA, valueB]), m, n)


def to_torch_sparse(index: Tensor, value: Tensor, m: int, n: int) -> Tensor:
    return torch.sparse_coo_tensor(index.detach(), value, (m, n))


def from_torch_sparse(A: Tensor) -> tuple[Tensor, Tensor]:  # noqa: N803
    """A is a coalesced torch.sparse_coo tensor."""
    return A.indices().detach(), A.values()


def to_scipy(index: Tensor, value: Tensor, m: int, n: int) -> Any:
    """A scipy.sparse.coo_matrix of tensors on the CPU."""
    import scipy.sparse

    row, col = index.detach().numpy()
    return scipy.sparse.coo_matrix((value.detach().numpy(), (row, col)), (m, n))


def from_scipy(A: Any) -> tuple[Tensor, Tensor]:  # noqa: N803
    """From any scipy sparse matrix."""
    coo = A.tocoo()
    index = torch.stack([torch.from_numpy(coo.row).long(), torch.from_numpy(coo.col).long()])
    return index, torch.from_numpy(coo.data)
