"""How different the items of a list are, judged by who has them."""

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.ops import spmm


def interaction_diversity(topk: Tensor, train: CSR, users_a_block: int = 256) -> float:
    """1 - cosine of two items' train users, averaged over the pairs of different items in a list, then over lists.

    The cosine is (users with both items) / sqrt(users of one * users of the other), 0 for an item that nobody has. It
    needs no attributes and cannot favor a model for knowing them.

    Args:
        topk: int64 [B, K], -1 where a list is shorter.
        train: U x I.
        users_a_block: lists at a time; the memory is (U + I) floats for each of them.
    Returns: in [0, 1]; nan if no list has two items.
    Source: Zhang et al. 2012, Auralist (WSDM); also the default of `diversity` in the library Recommenders.
    """
    degree = train.t().degree()
    total = count = 0.0
    for block in topk.split(users_a_block):
        row, rank = torch.nonzero(block >= 0, as_tuple=True)
        item = block[row, rank]
        unit = torch.zeros(train.num_cols, len(block))
        unit[item, row] = degree[item].clamp(min=1).rsqrt()
        itself = torch.zeros(len(block)).index_add_(0, row, (degree[item] > 0).float())
        similar = spmm(train, unit).square().sum(0) - itself
        size = (block >= 0).sum(1)
        full = size > 1
        total += float((1 - similar[full] / (size * (size - 1))[full]).sum())
        count += int(full.sum())
    return total / count if count else float("nan")
