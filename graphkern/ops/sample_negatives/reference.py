from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops.sample_neighbors.reference import bounded


def sample_negatives(
    indptr: Tensor, indices: Tensor, num_cols: int, rows: Tensor, num: int, distinct: bool, seed: int
) -> Tensor:
    """distinct: the columns of each row ascend, each once; the result does not depend on it."""
    sets = [torch.unique(indices[indptr[row] : indptr[row + 1]].long()) for row in rows.tolist()]
    absent = rows.new_tensor([num_cols - present.shape[0] for present in sets], dtype=torch.long)
    if not bool((absent > 0).all()):
        raise RuntimeError(f"row {int(rows[absent <= 0][0])} has every column")
    number = torch.arange(rows.shape[0], device=rows.device)
    rank = torch.empty(rows.shape[0], num, dtype=torch.long, device=rows.device)
    for draw in range(num):
        rank[:, draw] = bounded(number, draw, absent, 0, seed)
    for present, ranks in zip(sets, rank, strict=True):
        before = present - torch.arange(present.shape[0], device=rows.device)  # absent columns before each
        ranks += torch.searchsorted(before, ranks.clone(), right=True)
    return rank.to(indices.dtype)
