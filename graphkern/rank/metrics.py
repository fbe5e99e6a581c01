"""What `rank_metrics` leaves out of top-k lists: how wide, surprising and varied they are."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from graphkern.csr import CSR

_USERS_A_BLOCK = 256  # bounds the memory of intra_list_diversity


def coverage(topk: Tensor, num_candidates: int) -> float:
    """Distinct items in topk (-1 is none), over the number of items that could be there."""
    return len(torch.unique(topk[topk >= 0])) / num_candidates


def novelty(topk: Tensor, train: CSR) -> float:
    """Mean -log2(share of users with the item in train) over the listed items; an item of no user counts as of one."""
    share = train.t().degree().clamp(min=1).double() / train.num_rows
    return float(-torch.log2(share[topk[topk >= 0]]).mean())


def intra_list_diversity(topk: Tensor, features: Tensor) -> float:
    """1 - cosine, averaged over the pairs of different items in a list, then over the lists of two items or more.

    Args:
        topk: int64 [U, K], -1 where a list is shorter.
        features: [I, F], an item's position in whatever space should vary; a zero row is similar to nothing.
    Returns: in [0, 2]; nan if no list has two items.
    """
    unit = normalize(features.double(), dim=1)
    total = count = 0.0
    for block in torch.split(topk, _USERS_A_BLOCK):
        listed = unit[block.clamp(min=0)] * (block >= 0).unsqueeze(2)
        size = (block >= 0).sum(1)
        # of all ordered pairs, those of an item with itself fall away
        similar = listed.sum(1).square().sum(1) - listed.square().sum((1, 2))
        full = size > 1
        total += float((1 - similar[full] / (size * (size - 1))[full]).sum())
        count += int(full.sum())
    return total / count if count else float("nan")
