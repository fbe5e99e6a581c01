"""Baselines against their dense formulas, and against published figures where the data is at hand."""

import csv
import os
from pathlib import Path

import pytest
import torch

from graphkern.graph import predefined_split
from graphkern.graph.pairs import sorted_csr
from graphkern.graph.split import Split
from graphkern.rank.baselines import EASE, GFCF, Popularity, select_baseline
from graphkern.rank.evaluate import evaluate

USERS = torch.tensor([4, 0, 17])


@pytest.fixture
def matrix() -> torch.Tensor:
    """[40, 30] of zeros and ones in float64; user 4 and item 3 have nothing."""
    matrix = (torch.rand(40, 30, generator=torch.Generator().manual_seed(0)) < 0.2).double()
    matrix[4] = matrix[:, 3] = 0
    return matrix


def to_csr(matrix):
    return sorted_csr(*torch.nonzero(matrix, as_tuple=True), *matrix.shape)


def test_popularity_counts(matrix):
    assert torch.equal(Popularity().fit(to_csr(matrix)).scores(USERS), matrix.sum(0).float().expand(3, -1))


def test_ease_solves_its_regression(matrix):
    scores = EASE(weight_decay=7.0).fit(to_csr(matrix)).scores(USERS)
    # column j minimises |R_j - R w|^2 + 7 |w|^2 with w_j = 0
    weight = torch.zeros(30, 30, dtype=torch.float64)
    for j in range(30):
        others = [i for i in range(30) if i != j]
        x = matrix[:, others]
        weight[others, j] = torch.linalg.solve(x.T @ x + 7 * torch.eye(29), x.T @ matrix[:, j])
    torch.testing.assert_close(scores.double(), matrix[USERS] @ weight, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 8, 100])
def test_gfcf_matches_the_dense_formula(matrix, rank):
    scores = GFCF(rank=rank, ideal_weight=0.3).fit(to_csr(matrix)).scores(USERS)
    by_user = torch.diag(matrix.sum(1).clamp(min=1).rsqrt())
    item_degree = matrix.sum(0).clamp(min=1)
    normal = by_user @ matrix @ torch.diag(item_degree.rsqrt())
    vectors = torch.linalg.svd(normal, full_matrices=False).Vh[:rank].T
    ideal = matrix @ torch.diag(item_degree.rsqrt()) @ vectors @ vectors.T @ torch.diag(item_degree.sqrt())
    expected = matrix @ normal.T @ normal + 0.3 * ideal
    torch.testing.assert_close(scores.double(), expected[USERS], rtol=1e-4, atol=1e-4)


def test_select_baseline_takes_the_best_on_validation(matrix):
    part = torch.randint(3, matrix.shape, generator=torch.Generator().manual_seed(1))
    none = torch.zeros_like(matrix)
    split = Split(
        train=to_csr(matrix * (part < 2)),
        valid=to_csr(matrix * (part == 2)),
        test=to_csr(none),
        cold_test=to_csr(none),
        cold_items=torch.empty(0, dtype=torch.int64),
    )
    candidates = [EASE(decay) for decay in (1.0, 10.0, 1000.0)]
    values = [
        evaluate(EASE(c.weight_decay).fit(split.train).scores, split, "valid", [5])["recall@5"] for c in candidates
    ]
    assert len(set(values)) > 1
    best = select_baseline(candidates, split, metric="recall@5")
    assert best is candidates[values.index(max(values))]
    assert best.scores(USERS).shape == (3, 30)
    with pytest.raises(ValueError, match="no candidates"):
        select_baseline([], split)


@pytest.mark.parametrize(
    ("baseline", "recall", "ndcg", "tolerance"),
    [
        # the order of equally popular items is free
        (Popularity(), 0.1244, 0.1066, 5e-4),
        (EASE(50.0), 0.3479, 0.3182, 5e-5),
        (GFCF(128, 0.3), 0.3573, 0.3300, 5e-5),
    ],
    ids=repr,
)
def test_known_figures_on_lastfm(baseline, recall, ndcg, tolerance):
    """Recall@20 and NDCG@20 on a public split of HetRec 2011 Last.fm, 1,859 users x 2,813 items."""
    folder = Path(os.environ.get("GRAPHKERN_DATA", Path(__file__).parents[3] / "shared" / "data")) / "lastfm"
    if not folder.is_dir():
        pytest.skip(f"no Last.fm data in {folder} (GRAPHKERN_DATA names another folder)")
    train, test = (read_pairs(folder / name) for name in ("train.csv", "test.csv"))
    split = predefined_split(train, test)
    result = evaluate(baseline.fit(train).scores, split, ks=[20])
    assert result["recall@20"] == pytest.approx(recall, abs=tolerance)
    assert result["ndcg@20"] == pytest.approx(ndcg, abs=tolerance)


def read_pairs(path):
    with path.open(newline="") as file:
        pairs = torch.tensor([[int(row["user_id"]), int(row["item_id"])] for row in csv.DictReader(file)])
    return sorted_csr(pairs[:, 0], pairs[:, 1], 1859, 2813)
