"""Diversity by users against every pair of every list."""

import math

import torch

from graphkern.graph.pairs import sorted_csr
from graphkern.rank.diversity import interaction_diversity


def test_it_is_the_mean_over_all_pairs():
    random = torch.Generator().manual_seed(0)
    taken = torch.rand(30, 12, generator=random) < 0.4
    taken[:, 5] = False  # an item that nobody has
    topk = torch.stack([torch.randperm(12, generator=random)[:4] for _ in range(9)])
    topk[2, 3] = topk[4, 1:] = topk[6] = -1

    lists = []
    for row in topk.tolist():
        items = [item for item in row if item >= 0]
        distances = []
        for one in items:
            for other in items:
                if one != other:
                    a, b = taken[:, one].double(), taken[:, other].double()
                    distances.append(1 - float(a @ b / max(a.norm() * b.norm(), 1)))
        if distances:
            lists.append(sum(distances) / len(distances))
    assert len(lists) == 7
    train = sorted_csr(*torch.nonzero(taken, as_tuple=True), 30, 12)
    for users_a_block in (2, 256):
        assert math.isclose(interaction_diversity(topk, train, users_a_block), sum(lists) / 7, rel_tol=1e-6)


def test_lists_of_one_item_have_none():
    train = sorted_csr(torch.tensor([0]), torch.tensor([0]), 1, 3)
    assert math.isnan(interaction_diversity(torch.tensor([[0, -1]]), train))
