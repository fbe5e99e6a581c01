"""Entries as index [2, E] and value [E, *]: into order, and added up."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse.storage import SparseStorage


def coalesce(index: Tensor, value: Tensor | None, m: int, n: int, op: str = "add") -> tuple[Tensor, Tensor | None]:
    """Sort the entries of an m x n matrix by row and column; op reduces what has one place."""
    storage = SparseStorage(row=index[0], col=index[1], value=value, sparse_sizes=(m, n)).coalesce(op)
    return torch.stack([storage.row(), storage.col()]), storage.value()


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
