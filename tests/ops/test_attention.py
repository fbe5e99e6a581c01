"""What the attention ops promise beyond the contract: dropout, scores far from 0, NaN, and no store for edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import graphkern as gk
from graphkern.ops._attention import keep_scale

ROWS, COLUMNS, EDGES, HEADS, DEPTH = 40, 30, 4000, 6, 8


@pytest.fixture(scope="module")
def adj() -> gk.CSR:
    generator = torch.Generator().manual_seed(0)
    column = torch.randint(0, COLUMNS, (EDGES,), generator=generator)
    row = torch.randint(0, ROWS - 1, (EDGES,), generator=generator)
    row[:1500] = 0  # a row that is done in pieces; the last row is empty
    return gk.CSR.from_edge_index(torch.stack([column, row]), ROWS, COLUMNS)


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _gat(adj: gk.CSR, x: Tensor, **options) -> Tensor:
    return gk.gat_aggregate(adj, x, torch.zeros(x.shape[:2]), torch.zeros(adj.num_rows, x.shape[1]), **options)


def _gatv2(adj: gk.CSR, x: Tensor, **options) -> Tensor:
    return gk.gatv2_aggregate(adj, x, torch.zeros(adj.num_rows, *x.shape[1:]), torch.zeros(x.shape[1:]), **options)


def _attention(adj: gk.CSR, x: Tensor, **options) -> Tensor:
    return gk.attention_aggregate(adj, torch.zeros(adj.num_rows, *x.shape[1:]), torch.zeros_like(x), x, **options)


# With scores of 0 each is the mean over a row's edges, with dropout of a random part of them.
MEANS = pytest.mark.parametrize("mean", [_gat, _gatv2, _attention])


def _kept(mean, adj: gk.CSR, **options) -> Tensor:
    """[N, M, H]: by how many edges column j reaches row i, as the op weighs them."""
    one_hot = torch.eye(COLUMNS)[:, None, :].repeat(1, HEADS, 1)
    out = mean(adj, one_hot, **options)  # [N, H, M]
    return out.transpose(1, 2) * adj.degree()[:, None, None]


def _counts(adj: gk.CSR, factor: Tensor) -> Tensor:
    """[N, M, H] sums of factor [E, H] over the edges between a row and a column."""
    out = torch.zeros(ROWS * COLUMNS, factor.shape[1])
    return out.index_add(0, adj.row_index() * COLUMNS + adj.indices, factor).view(ROWS, COLUMNS, -1)


@MEANS
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_edges_that_the_seed_says(mean, p, adj):
    factor = keep_scale(EDGES, HEADS, p, 42, torch.empty(0))
    torch.testing.assert_close(_kept(mean, adj, dropout_p=p, seed=42), _counts(adj, factor), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_of_edges_and_heads(p):
    kept = keep_scale(100_000, 5, p, 1, torch.empty(0, dtype=torch.float64)) > 0
    deviation = (p * (1 - p) / 100_000) ** 0.5
    assert ((kept.double().mean(0) - (1 - p)).abs() < 5 * deviation).all()
    together = (kept[:, :1] == kept[:, 1:]).double().mean(0)  # heads are independent
    assert ((together - (p * p + (1 - p) ** 2)).abs() < 0.01).all()


@MEANS
def test_seeds_give_different_dropout_and_the_same_seed_the_same(mean, adj):
    x = _normal(COLUMNS, HEADS, DEPTH)
    first, again, other = (mean(adj, x, dropout_p=0.5, seed=seed) for seed in (3, 3, 3 + 2**32))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@MEANS
def test_dropout_agrees_between_forward_and_backward_and_thread_counts(mean, adj):
    """out is linear in x: with gradients ones it is the sum of the gradient's product with x."""
    x = _normal(COLUMNS, HEADS, DEPTH).requires_grad_()
    threads = torch.get_num_threads()
    gradients = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = mean(adj, x, dropout_p=0.4, seed=9)
            gradients.append(torch.autograd.grad(out.sum(), x)[0])
            torch.testing.assert_close((gradients[-1] * x).sum(), out.sum(), rtol=1e-4, atol=1e-3)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_dropout_of_a_head_does_not_depend_on_how_many_there_are(adj):
    """Heads that kernels take in groups draw what they would draw together."""
    heads = 37
    x = _normal(COLUMNS, 1, 1).expand(COLUMNS, heads, 1)
    many = _gat(adj, x, dropout_p=0.5, seed=11)
    for few in (1, 4, 17):
        torch.testing.assert_close(_gat(adj, x[:, :few], dropout_p=0.5, seed=11), many[:, :few])


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_huge_scores_stay_finite(scale, adj):
    score = scale * _normal(EDGES, HEADS).abs()
    weight = gk.edge_softmax(adj, score)
    total = torch.zeros(ROWS, HEADS).index_add(0, adj.row_index(), weight)
    torch.testing.assert_close(total[:-1], torch.ones(ROWS - 1, HEADS))
    x, alpha = _normal(COLUMNS, HEADS, DEPTH), scale * _normal(COLUMNS, HEADS, seed=1)
    assert gk.gat_aggregate(adj, x, alpha, torch.zeros(ROWS, HEADS)).isfinite().all()
    assert gk.attention_aggregate(adj, scale * _normal(ROWS, HEADS, DEPTH), x, x).isfinite().all()
    assert gk.gatv2_aggregate(adj, x, _normal(ROWS, HEADS, DEPTH), scale * x[0]).isfinite().all()


def test_scores_of_minus_infinity_take_no_weight(adj):
    """A whole block of them before the first finite score of a long row does not spoil it."""
    score = torch.full((EDGES,), -torch.inf)
    last = adj.indptr[1:][adj.degree() > 0] - 1
    score[last] = 0.0
    expected = torch.zeros(EDGES).index_fill(0, last, 1.0)
    torch.testing.assert_close(gk.edge_softmax(adj, score), expected)


@MEANS
def test_nan_shows_in_every_row_that_it_reaches(mean, adj):
    x = _normal(COLUMNS, HEADS, DEPTH)
    x[7, 2, 3] = torch.nan
    out = mean(adj, x)
    reached = torch.zeros(ROWS, dtype=torch.bool).index_fill(0, adj.row_index()[adj.indices == 7].long(), True)
    assert torch.equal(out[:, 2, 3].isnan(), reached)
    assert not out[:, 1].isnan().any()


def test_nan_scores_show(adj):
    alpha = torch.zeros(COLUMNS, HEADS)
    alpha[7, 2] = torch.nan
    out = gk.gat_aggregate(adj, _normal(COLUMNS, HEADS, DEPTH), alpha, torch.zeros(ROWS, HEADS))
    reached = torch.zeros(ROWS, dtype=torch.bool).index_fill(0, adj.row_index()[adj.indices == 7].long(), True)
    assert torch.equal(out[:, 2, 0].isnan(), reached)
    weight = gk.edge_softmax(adj, alpha[adj.indices.long()])
    assert torch.equal(weight[:, 2].isnan(), reached[adj.row_index().long()])


@MEANS
def test_a_row_without_edges_gives_zero_and_takes_no_gradient(mean, adj):
    assert torch.equal(mean(adj, _normal(COLUMNS, HEADS, DEPTH))[-1], torch.zeros(HEADS, DEPTH))


@pytest.mark.parametrize("need", ["x", "alpha_src", "alpha_dst"])
def test_gat_gradients_do_not_depend_on_which_are_wanted(need, adj):
    values = {
        "x": _normal(COLUMNS, HEADS, DEPTH),
        "alpha_src": _normal(COLUMNS, HEADS, seed=1),
        "alpha_dst": _normal(ROWS, HEADS, seed=2),
    }
    every = {name: value.clone().requires_grad_() for name, value in values.items()}
    one = {**values, need: values[need].clone().requires_grad_()}
    grads = [
        torch.autograd.grad(gk.gat_aggregate(adj, **given).square().sum(), given[need])[0] for given in (every, one)
    ]
    assert torch.equal(*grads)
