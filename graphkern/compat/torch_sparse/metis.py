"""Partitions."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_sparse.tensor import SparseTensor

NO_METIS = "partition needs METIS, which graphkern does not have: install torch_sparse or pyg_lib built with it"


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
