"""Orders of nodes: reverse Cuthill-McKee, and partitions."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse._methods import to_scipy
from graphkern.compat.torch_sparse.index_select import permute
from graphkern.compat.torch_sparse.tensor import SparseTensor

NO_METIS = "partition needs METIS, which graphkern does not have: install torch_sparse or pyg_lib built with it"


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


def partition(
    src: SparseTensor,
    num_parts: int,
    recursive: bool = False,
    weighted: bool = False,
    node_weight: Tensor | None = None,
    balance_edge: bool = False,
) -> tuple[SparseTensor, Tensor, Tensor]:
    """(src, [0, M], identity) for one part. Raises NotImplementedError for more: there is no METIS here."""
    if num_parts < 1:
        raise ValueError(f"num_parts must be at least 1 but is {num_parts}")
    if num_parts > 1:
        raise NotImplementedError(NO_METIS)
    bounds = torch.tensor([0, src.size(0)], device=src.device())
    return src, bounds, torch.arange(src.size(0), device=src.device())
