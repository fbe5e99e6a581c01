"""Rankings against a brute-force sort of the full score matrix."""

import pytest
import torch

from graphkern.graph import Split, predefined_split
from graphkern.graph.pairs import sorted_csr
from graphkern.ops import rank_metrics
from graphkern.rank.evaluate import evaluate, rank_items
from graphkern.rank.metrics import coverage, intra_list_diversity, novelty

NUM_USERS, NUM_ITEMS = 30, 25


@pytest.fixture
def split() -> Split:
    """Items 20 to 24 are cold and item 19 has no interaction at all; user 0 has nothing to find."""
    part = torch.randint(8, (NUM_USERS, NUM_ITEMS), generator=torch.Generator().manual_seed(0))
    part[:, 19] = 7
    part[0, part[0] != 0] = 7
    is_cold = (torch.arange(NUM_ITEMS) >= 20).expand(NUM_USERS, -1)

    def pairs(mask):
        return sorted_csr(*torch.nonzero(mask, as_tuple=True), NUM_USERS, NUM_ITEMS)

    return Split(
        train=pairs((part <= 1) & ~is_cold),
        valid=pairs((part == 2) & ~is_cold),
        test=pairs((part == 3) & ~is_cold),
        cold_test=pairs((part <= 1) & is_cold),
        cold_items=torch.arange(20, 25),
    )


@pytest.fixture
def embeddings():
    random = torch.Generator().manual_seed(1)
    return torch.randn(NUM_USERS, 6, generator=random), torch.randn(NUM_ITEMS, 6, generator=random)


def has(adj) -> torch.Tensor:
    result = torch.zeros(adj.num_rows, adj.num_cols, dtype=torch.bool)
    result[adj.row_index(), adj.indices] = True
    return result


@pytest.mark.parametrize("part", ["valid", "test", "cold"])
@pytest.mark.parametrize("kind", ["embeddings", "function"])
def test_evaluate_ranks_the_right_items(split, embeddings, part, kind):
    query, item = embeddings
    scores = query @ item.T
    allowed = {
        "valid": ~has(split.train),
        "test": ~has(split.train) & ~has(split.valid),
        "cold": torch.ones_like(has(split.train)),
    }[part]
    candidates = split.cold_items if part == "cold" else torch.arange(19)
    allowed &= torch.isin(torch.arange(NUM_ITEMS), candidates)
    best = torch.sort(scores.masked_fill(~allowed, -torch.inf), descending=True, stable=True)
    topk = best.indices.masked_fill(best.values == -torch.inf, -1)[:, :10]
    target = {"valid": split.valid, "test": split.test, "cold": split.cold_test}[part]
    features = torch.rand(NUM_ITEMS, 3, generator=torch.Generator().manual_seed(2))

    scorer = embeddings if kind == "embeddings" else lambda users: scores[users]
    result = evaluate(scorer, split, part, ks=(3, 10), features=features, users_a_block=7)

    users = torch.nonzero(target.degree()).flatten()
    expected = rank_metrics(topk, target, (3, 10))
    for k in (3, 10):
        listed = topk[users, :k]
        expected[f"coverage@{k}"] = coverage(listed, len(candidates))
        expected[f"diversity@{k}"] = intra_list_diversity(listed, features)
        if part != "cold":
            expected[f"novelty@{k}"] = novelty(listed, split.train)
    assert result == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["embeddings", "function"])
def test_rank_items_pads_breaks_ties_and_never_lists_what_is_excluded(kind):
    query, item = torch.ones(2, 1), torch.tensor([[1.0], [2.0], [2.0], [9.0]])
    scorer = (query, item) if kind == "embeddings" else lambda users: (query @ item.T)[users]
    exclude = sorted_csr(torch.tensor([1, 1]), torch.tensor([1, 3]), 2, 4)
    values, items = rank_items(scorer, torch.tensor([1, 0]), 4, torch.tensor([0, 1, 2]), exclude)
    assert items.tolist() == [[2, 0, -1, -1], [1, 2, 0, -1]]
    assert values.tolist() == [[2, 1, -torch.inf, -torch.inf], [2, 2, 1, -torch.inf]]


def test_a_function_and_embeddings_rank_alike_through_ties_and_nan():
    scores = torch.randint(4, (20, 50), generator=torch.Generator().manual_seed(0)).float()
    scores[:, 7] = torch.nan
    scores[3, 5:] = -torch.inf
    users, candidates = torch.arange(20), torch.arange(50)
    by_function = rank_items(lambda users: scores[users], users, 9, candidates)
    expected = torch.sort(scores.nan_to_num(nan=-torch.inf, neginf=-torch.inf), dim=1, descending=True, stable=True)
    assert torch.equal(by_function[0], expected.values[:, :9])
    assert torch.equal(by_function[1], expected.indices[:, :9].masked_fill(expected.values[:, :9] == -torch.inf, -1))
    by_embeddings = rank_items((scores.nan_to_num(nan=-1, neginf=-1), torch.eye(50)), users[:3], 9, candidates)
    assert torch.equal(by_embeddings[1], by_function[1][:3])


def test_a_function_keeps_its_scores(split):
    scores = torch.rand(NUM_USERS, NUM_ITEMS, generator=torch.Generator().manual_seed(0))
    before = scores.clone()
    evaluate(lambda users: scores[users], split)
    assert torch.equal(scores, before)


def test_an_empty_part_is_refused(split, embeddings):
    no_cold = predefined_split(split.train, split.test)
    for part in ("valid", "cold"):
        with pytest.raises(ValueError, match=f"the {part} part of the split is empty"):
            evaluate(embeddings, no_cold, part)
    with pytest.raises(ValueError, match="cannot list 5 of 0 candidates"):
        rank_items(embeddings, torch.arange(3), 5, no_cold.cold_items)
