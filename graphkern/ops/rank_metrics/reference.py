from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkern.csr import row_index


def rank_metrics(topk: Tensor, indptr: Tensor, indices: Tensor, ks: Sequence[int], per_user: bool) -> Tensor:
    """recall, ndcg, hr, mrr, map, f1, precision of each k of each user [len(ks), 7, U], or their means [len(ks), 7].

    Users without test items have NaN, and are left out of the means.
    """
    hit, num_test = _hits(topk[:, : max(ks)], indptr, indices)
    rank = torch.arange(1, hit.shape[1] + 1, dtype=torch.float64, device=topk.device)
    gain = 1 / torch.log2(rank + 1)
    ideal = gain.cumsum(0)
    result = []
    for k in ks:
        first = hit[:, :k]
        found = first.sum(1)
        values = [
            found / num_test,
            (first * gain[:k]).sum(1) / ideal[num_test.clamp(1, k).long() - 1],
            (found > 0).double(),
            (first / rank[:k]).amax(1),
            (first * first.cumsum(1) / rank[:k]).sum(1) / num_test,
            2 * found / (num_test + k),
            found / k,
        ]
        result.append(torch.stack(values).masked_fill(num_test == 0, torch.nan))
    metrics = torch.stack(result)
    return metrics if per_user else metrics.nanmean(2)


def _hits(topk: Tensor, indptr: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """float64 [U, K], 1 where an item of the user's test items has its first place; float64 [U] distinct test items."""
    user = torch.arange(topk.shape[0], device=topk.device)
    width = torch.cat([topk.flatten(), indices.long(), topk.new_zeros(1)]).amax() + 1
    pair = torch.unique(row_index(indptr, indices.shape[0]).long() * width + indices.long())
    in_order, place = torch.sort(topk, dim=1, stable=True)
    repeats = torch.zeros_like(topk, dtype=torch.bool)
    repeats.scatter_(1, place[:, 1:], in_order[:, 1:] == in_order[:, :-1])
    hit = torch.isin(user[:, None] * width + topk, pair) & (topk >= 0) & ~repeats
    num_test = torch.bincount(torch.div(pair, width, rounding_mode="floor"), minlength=topk.shape[0])
    return hit.double(), num_test.double()
