"""Every metric against its definition, written as loops over users and ranks."""

import math

import pytest
import torch

from graphkern.graph.pairs import sorted_csr
from graphkern.rank.metrics import coverage, intra_list_diversity, novelty, rank_metrics

NUM_USERS, NUM_ITEMS, DEPTH = 50, 40, 12


@pytest.fixture
def case():
    """Lists of DEPTH items, some cut short by -1, and test items of every number from 0 to 14."""
    random = torch.Generator().manual_seed(0)
    topk = torch.stack([torch.randperm(NUM_ITEMS, generator=random)[:DEPTH] for _ in range(NUM_USERS)])
    topk[3, 4:] = topk[7, :] = -1
    pairs = [
        (user, int(i)) for user in range(NUM_USERS) for i in torch.randperm(NUM_ITEMS, generator=random)[: user % 15]
    ]
    row, col = torch.tensor(pairs).T
    return topk, sorted_csr(row, col, NUM_USERS, NUM_ITEMS)


def by_loops(topk, test, k):
    totals = dict.fromkeys(("recall", "ndcg", "hr", "f1", "mrr", "precision", "map"), 0.0)
    num_users = 0
    for user, items in enumerate(topk.tolist()):
        wanted = set(test.indices[test.indptr[user] : test.indptr[user + 1]].tolist())
        if not wanted:
            continue
        num_users += 1
        hits = [rank for rank, item in enumerate(items[:k], start=1) if item in wanted]
        recall, precision = len(hits) / len(wanted), len(hits) / k
        best = range(1, min(k, len(wanted)) + 1)
        totals["recall"] += recall
        totals["precision"] += precision
        totals["hr"] += bool(hits)
        totals["f1"] += 2 * recall * precision / (recall + precision) if hits else 0
        totals["mrr"] += 1 / hits[0] if hits else 0
        totals["ndcg"] += sum(1 / math.log2(r + 1) for r in hits) / sum(1 / math.log2(r + 1) for r in best)
        totals["map"] += sum(found / rank for found, rank in enumerate(hits, start=1)) / len(best)
    return {f"{name}@{k}": total / num_users for name, total in totals.items()}


def test_rank_metrics_match_the_loops(case):
    topk, test = case
    ks = (1, 5, DEPTH)
    expected = {name: value for k in ks for name, value in by_loops(topk, test, k).items()}
    assert rank_metrics(topk, test, ks) == pytest.approx(expected, abs=1e-12)


def test_perfect_lists_score_one():
    test = sorted_csr(torch.tensor([0, 0, 1]), torch.tensor([4, 2, 0]), 3, 5)
    topk = torch.tensor([[2, 4, -1], [0, 1, 2], [0, 1, 2]])
    result = rank_metrics(topk, test, [3])
    assert all(result[f"{name}@3"] == 1 for name in ("recall", "ndcg", "hr", "mrr", "map"))
    assert result["precision@3"] == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_no_item_is_not_the_last_item_of_the_user_before():
    # -1 in row 1 must not be read as item 4 of row 0
    test = sorted_csr(torch.tensor([0, 1]), torch.tensor([4, 0]), 2, 5)
    assert rank_metrics(torch.tensor([[1], [-1]]), test, [1])["hr@1"] == 0


def test_coverage_novelty_and_diversity(case):
    topk, test = case
    listed = {item for row in topk.tolist() for item in row if item >= 0}
    assert coverage(topk, 80) == len(listed) / 80

    popularity = torch.bincount(test.indices, minlength=NUM_ITEMS).clamp(min=1)
    bits = [-math.log2(popularity[item] / NUM_USERS) for row in topk.tolist() for item in row if item >= 0]
    assert novelty(topk, test) == pytest.approx(sum(bits) / len(bits))

    features = torch.randn(NUM_ITEMS, 6, generator=torch.Generator().manual_seed(1))
    features[5] = 0
    means = []
    for row in topk.tolist():
        items = [item for item in row if item >= 0]
        distances = [
            1 - float(torch.cosine_similarity(features[a].double(), features[b].double(), dim=0))
            for a in items
            for b in items
            if a != b
        ]
        means += [sum(distances) / len(distances)] if distances else []
    assert len(means) == NUM_USERS - 1
    assert intra_list_diversity(topk, features) == pytest.approx(sum(means) / len(means))


def test_one_item_lists_have_no_diversity():
    assert math.isnan(intra_list_diversity(torch.tensor([[1], [0]]), torch.ones(2, 3)))


def test_what_cannot_be_measured_is_refused(case):
    topk, test = case
    with pytest.raises(ValueError, match=r"topk is \[49, 12\] but test has 50 rows"):
        rank_metrics(topk[1:], test, [5])
    for ks in ([], [0], [13]):
        with pytest.raises(ValueError, match="but topk has 12 ranks"):
            rank_metrics(topk, test, ks)
    none = torch.empty(0, dtype=torch.int64)
    with pytest.raises(ValueError, match="no user has test items"):
        rank_metrics(topk, sorted_csr(none, none, NUM_USERS, NUM_ITEMS), [5])
