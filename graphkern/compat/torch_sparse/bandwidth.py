"""Orders of nodes that bring entries close to the diagonal."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse._methods import to_scipy
from graphkern.compat.torch_sparse.index_select import permute
from graphkern.compat.torch_sparse.tensor import SparseTensor


def reverse_cuthill_mckee(src: SparseTensor, is_symmetric: bool | None = None) -> tuple[SparseTensor, Tensor]:
    """Renumber the nodes so that entries lie close to the diagonal: the matrix and the permutation.

    A matrix that is not symmetric is made so first. Needs scipy.
    """
    from scipy.sparse import csgraph

    if is_symmetric is None:
        is_symmetric = src.is_symmetric()
    if not is_symmetric:
        src = src.to_symmetric()
    order = csgraph.reverse_cuthill_mckee(to_scipy(src, "csr"), symmetric_mode=True)
    perm = torch.from_numpy(order.copy()).long().to(src.device())
    return permute(src, perm), perm
