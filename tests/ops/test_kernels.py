"""What single ops promise beyond the contract."""

from __future__ import annotations

import math

import pytest
import torch

import graphkern as gk
from graphkern.ops.sample_neighbors.reference import philox


def test_nan_wins_a_maximum_and_takes_the_gradient():
    adj = gk.CSR.from_edge_index(torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0]]), 1, 4)
    x = torch.tensor([[1.0], [math.nan], [5.0], [math.nan]], requires_grad=True)
    out = gk.spmm(adj, x, reduce="max")
    assert out.isnan().all()
    out.backward(torch.ones_like(out))
    assert x.grad.flatten().tolist() == [0, 1, 0, 0]


def test_the_first_of_equals_takes_the_gradient():
    adj = gk.CSR.from_edge_index(torch.tensor([[3, 1, 2], [0, 0, 0]]), 1, 4)
    x = torch.full((4, 2), 7.0, requires_grad=True)
    gk.spmm(adj, x, reduce="min").sum().backward()
    assert x.grad[:, 0].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("op", ["spmm", "sddmm"])
def test_addresses_beyond_2_to_the_31(op):
    """x has more than 2^31 elements; only the rows that are read take memory."""
    rows, features = 2**31 // 64 + 1000, 64
    x = torch.empty(rows, features, dtype=torch.bfloat16)
    last = torch.arange(rows - 3, rows)
    x[last] = torch.arange(1, 4, dtype=torch.bfloat16)[:, None].expand(3, features)
    adj = gk.CSR(torch.tensor([0, 3]), last, rows)
    if op == "spmm":
        assert gk.spmm(adj, x).tolist() == [[6.0] * features]
        assert gk.spmm(adj, x, reduce="max").tolist() == [[3.0] * features]
    else:
        assert gk.sddmm(adj, torch.ones(1, features, dtype=torch.bfloat16), x).tolist() == [64, 128, 192]


def test_philox_gives_the_published_words():
    """Known answers of Random123's philox4x32-10."""
    known = {
        (0, 0, 0, 0, 0): "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0x299F31D0A4093822): "d16cfe09 94fdcceb 5001e420 24126ea1",
    }
    for (*counter, seed), words in known.items():
        got = philox(tuple(torch.tensor([c]) for c in counter), seed)
        assert " ".join(f"{int(word):08x}" for word in got) == words


def _star(degree: int) -> gk.CSR:
    edges = torch.stack([torch.arange(1, degree + 1), torch.zeros(degree, dtype=torch.long)])
    return gk.CSR.from_edge_index(edges, degree + 1, degree + 1)


@pytest.mark.parametrize(
    ("degree", "fanout", "replace"), [(2, 1, False), (10, 3, False), (10, 4, True), (100, 40, False)]
)
def test_neighbors_are_drawn_uniformly(degree, fanout, replace):
    """Chi-square over 2,000 seeds, at 5 standard deviations of its degrees of freedom."""
    adj, runs = _star(degree), 2000
    counts = torch.zeros(degree)
    for seed in range(runs):
        edges = gk.sample_neighbors(adj, torch.tensor([0]), [fanout], replace=replace, seed=seed).edge_id
        assert replace or edges.unique().numel() == fanout
        counts += torch.bincount(edges, minlength=degree)
    expected = runs * fanout / degree
    variance_share = 1 if replace else 1 - fanout / degree  # drawn without replacement counts spread less
    chi_square = float(((counts - expected) ** 2 / (expected * max(variance_share, 1 / degree))).sum())
    assert chi_square < degree + 5 * math.sqrt(2 * degree)


def test_subgraph_layers_equal_full_graph_convolution():
    """With all neighbors taken, two trimmed layers give the seeds what two full layers give them."""
    torch.manual_seed(0)
    adj = gk.CSR.from_edge_index(torch.randint(0, 60, (2, 300)), 60, 60)
    x = torch.randn(60, 5, dtype=torch.float64)
    seeds = torch.tensor([7, 3, 50, 3])
    sub = gk.sample_neighbors(adj, seeds, [-1, -1])
    assert torch.equal(sub.nodes[:4], seeds)
    hidden = x[sub.nodes]
    for layer in sub.layers:
        hidden = gk.spmm(layer, hidden, reduce="mean")
    full = gk.spmm(adj, gk.spmm(adj, x, reduce="mean"), reduce="mean")
    torch.testing.assert_close(hidden, full[seeds])
    assert torch.equal(adj.indices[adj.edge_id.argsort()[sub.edge_id]], sub.nodes[sub.adj.indices])


def test_topk_leaves_out_nan_and_breaks_ties_by_index():
    item = torch.tensor([[1.0], [math.nan], [2.0], [2.0], [-math.inf], [math.inf]])
    values, indices = gk.topk_scores(torch.ones(1, 1), item, 6)
    assert indices.tolist() == [[5, 2, 3, 0, -1, -1]]
    assert values.tolist() == [[math.inf, 2, 2, 1, -math.inf, -math.inf]]


def test_topk_never_asks_for_a_gradient():
    query = torch.randn(3, 4, requires_grad=True)
    values, _ = gk.topk_scores(query, torch.randn(5, 4), 2)
    assert not values.requires_grad


def test_info_nce_survives_large_logits_and_nan_stays_visible():
    query, key = torch.eye(2) * 1e4, torch.eye(2)
    assert gk.info_nce(query, key, temperature=0.1).tolist() == [0.0, 0.0]
    query[0, 0] = math.nan
    loss = gk.info_nce(query, key)
    assert loss.isnan().tolist() == [True, False]


def test_gradient_without_a_formula_is_an_error_not_a_zero():
    query, key = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    (grad,) = torch.autograd.grad(gk.info_nce(query, key).sum(), query, create_graph=True)
    with pytest.raises(NotImplementedError, match="no gradient formula"):
        grad.sum().backward()


def test_use_restores_what_served_before():
    before = {name: op.active("cpu") for name, op in gk._op.OPS.items()}
    with gk.use("reference"):
        assert {op.active("cpu") for op in gk._op.OPS.values()} == {"reference"}
        with gk.use("reference", "spmm"):
            pass
        assert gk._op.OPS["spmm"].active("cpu") == "reference"
    assert {name: op.active("cpu") for name, op in gk._op.OPS.items()} == before
