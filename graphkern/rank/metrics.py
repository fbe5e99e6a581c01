"""Ranking metrics over top-k lists: how right they are, and how wide, surprising and varied."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from graphkern.csr import CSR
from graphkern.graph.pairs import pair_keys

_USERS_A_BLOCK = 256  # bounds the memory of intra_list_diversity


def rank_metrics(topk: Tensor, test: CSR, ks: Sequence[int]) -> dict[str, float]:
    """How well ranked lists find the test items, averaged over the users that have any.

    With h of a user's n test items among the first k, hit_r = 1 if rank r (from 1) is one of them:
        recall = h / n, precision = h / k, f1 = 2 h / (n + k), hr = 1 if h > 0
        ndcg = sum hit_r / log2(r + 1), over the same sum with hits at the first min(k, n) ranks
        mrr = 1 / rank of the first hit, 0 without one
        map = sum hit_r * (hits up to r) / r, over min(k, n)

    Args:
        topk: int64 [U, K], best first, no item twice in a row; -1 where a list is shorter.
        test: U x I, no pair twice.
        ks: each in [1, K].
    Returns: {"recall@k": ..., ...} for each k, computed in float64.
    Raises: ValueError if topk has not U rows, k is out of range, or no user has test items.
    """
    _check(topk, test, ks)
    num_test = test.degree()
    if not bool((num_test > 0).any()):
        raise ValueError("no user has test items")
    row = torch.arange(test.num_rows).unsqueeze(1)
    is_hit = torch.isin(row * test.num_cols + topk, pair_keys(test)) & (topk >= 0)
    hit, num_test = is_hit[num_test > 0].double(), num_test[num_test > 0]
    rank = torch.arange(1, topk.shape[1] + 1, dtype=torch.float64)
    gain = 1 / torch.log2(rank + 1)

    result = {}
    for k in ks:
        first = hit[:, :k]
        found, reachable = first.sum(1), num_test.clamp(max=k)
        values = {
            "recall": found / num_test,
            "ndcg": (first * gain[:k]).sum(1) / gain.cumsum(0)[reachable - 1],
            "hr": (found > 0).double(),
            "f1": 2 * found / (num_test + k),
            "mrr": (first / rank[:k]).amax(1),
            "precision": found / k,
            "map": (first * first.cumsum(1) / rank[:k]).sum(1) / reachable,
        }
        result.update({f"{name}@{k}": float(value.mean()) for name, value in values.items()})
    return result


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


def _check(topk: Tensor, test: CSR, ks: Sequence[int]) -> None:
    if topk.dim() != 2 or topk.shape[0] != test.num_rows:
        raise ValueError(f"topk is {list(topk.shape)} but test has {test.num_rows} rows")
    if not ks or min(ks) < 1 or max(ks) > topk.shape[1]:
        raise ValueError(f"ks is {list(ks)} but topk has {topk.shape[1]} ranks")
