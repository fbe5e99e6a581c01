"""Coverage, novelty and diversity against their definitions, written as loops."""

import math

import pytest
import torch

from graphkern.graph.pairs import sorted_csr
from graphkern.rank.metrics import coverage, intra_list_diversity, novelty

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
