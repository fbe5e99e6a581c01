"""Ranking metrics of top-k lists, all of them in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check
from graphkern.ops.rank_metrics.reference import rank_metrics as reference

METRICS = ("recall", "ndcg", "hr", "mrr", "map", "f1", "precision")


@overload
def rank_metrics(
    topk: Tensor, test: CSR, ks: Sequence[int], *, per_user: Literal[False] = False
) -> dict[str, float]: ...


@overload
def rank_metrics(topk: Tensor, test: CSR, ks: Sequence[int], *, per_user: Literal[True]) -> dict[str, Tensor]: ...


def rank_metrics(topk, test, ks, *, per_user=False):
    """How well ranked lists find the test items.

    With h of a user's n test items among the first k, hit_r = 1 if rank r (from 1) is one of them:
        recall = h / n, precision = h / k, f1 = 2 h / (n + k), hr = 1 if h > 0
        ndcg = sum hit_r / log2(r + 1), over the same sum with hits at the first min(k, n) ranks
        mrr = 1 / rank of the first hit, 0 without one
        map = sum hit_r * (hits up to r) / r, over n
    These are the definitions of ranx.

    Args:
        topk: int64 [U, K], best first; -1, wherever it stands, is a rank without item. Where an item is twice in a row,
            its first rank counts, and the others are misses.
        test: U x I, rows in any order; a pair that is there twice counts once.
        ks: each in [1, K].
        per_user: give the values of each user (for tests of significance) rather than their means.
    Returns: {"recall@k": ..., ...} for each k, in float64: means over the users that have test items, or [U] values
        with NaN where a user has none. Only the latter can be compiled or exported.
    Raises: TypeError for a dtype; ValueError if topk has not U rows or has a value that is neither -1 nor in [0, I),
        if a k is out of range, if no user has test items to take a mean over, or for a device.
    Cost: reads topk twice and test once. A list of K takes K log n for n test items, and n log n more where they are
        not sorted. Beyond the result memory of a fixed size, and a list and an unsorted row a thread. Results do not
        depend on the number of threads. No gradient.
    Source: Bassani 2022 (ranx, doi:10.1007/978-3-030-99739-7_30); NDCG: Jarvelin and Kekalainen 2002.
    """
    _check_lists(topk, test, ks)
    ascending = sorted(set(ks))
    values = RANK_METRICS(topk, test.indptr, test.indices, ascending, per_user)
    if not per_user:
        if test.num_edges == 0:
            raise ValueError("no user has test items")
        values = values.tolist()
    at = {k: place for place, k in enumerate(ascending)}
    return {f"{name}@{k}": values[at[k]][i] for k in ks for i, name in enumerate(METRICS)}


def _check_lists(topk: Tensor, test: CSR, ks: Sequence[int]) -> None:
    _check.is_csr(test)
    if not isinstance(topk, Tensor) or topk.dtype != torch.int64:
        raise TypeError(f"topk must be an int64 Tensor but is {getattr(topk, 'dtype', type(topk).__name__)}")
    _check.same_device(test, topk, "topk")
    if topk.dim() != 2 or topk.shape[0] != test.num_rows:
        raise ValueError(f"topk is {list(topk.shape)} but test has {test.num_rows} rows")
    if len(ks) == 0 or min(ks) < 1 or max(ks) > topk.shape[1]:
        raise ValueError(f"ks is {list(ks)} but topk has {topk.shape[1]} ranks")
    if topk.device.type == "cpu" and not torch.compiler.is_compiling() and topk.numel():
        low, high = (int(bound) for bound in torch.aminmax(topk))
        if low < -1 or high >= test.num_cols:
            raise ValueError(f"topk must be -1 or in [0, {test.num_cols}) but runs from {low} to {high}")


def _fake(topk: Tensor, indptr: Tensor, indices: Tensor, ks: Sequence[int], per_user: bool) -> Tensor:
    shape = (len(ks), len(METRICS), *[topk.shape[0]] * per_user)
    return topk.new_empty(shape, dtype=torch.float64)


RANK_METRICS = Op(
    "rank_metrics",
    "(Tensor topk, Tensor indptr, Tensor indices, int[] ks, bool per_user) -> Tensor",
    reference=reference,
    fake=_fake,
)
