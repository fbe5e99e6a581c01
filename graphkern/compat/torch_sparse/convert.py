"""Entries as index [2, E] and value [E], from and to torch and scipy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
