"""Graphs hold the train interactions and the attributes, and nothing of valid, test or cold."""

import pytest
import torch

from graphkern import CSR
from graphkern.graph import HeteroGraph, SplitConfig, bipartite, load_dataset, make_split, product_graph, profile_graph
from graphkern.graph.build import attribute_matrix, item_neighbors
from graphkern.graph.pairs import sorted_csr


def dense(adj: CSR) -> torch.Tensor:
    result = torch.zeros(adj.num_rows, adj.num_cols, dtype=torch.float64)
    result[adj.row_index(), adj.indices] = 1
    return result


def random_train(num_users: int, num_items: int, share: float) -> CSR:
    hit = torch.rand(num_users, num_items, generator=torch.Generator().manual_seed(0)) < share
    return sorted_csr(*torch.nonzero(hit, as_tuple=True), num_users, num_items)


def test_profile_graph_has_train_behaviors_and_attributes(config):
    data = load_dataset(config)
    split = make_split(data, SplitConfig(valid=0, test=0.4, cold_items=0))
    graph = profile_graph(data, split)
    assert graph.num_nodes == {"user": 4, "item": 5, "user.age": 2}
    assert graph.names["user.age"] == ["30", "41"]
    edges = {
        edge_type: list(zip(adj.indices.tolist(), adj.row_index().tolist(), strict=True))
        for edge_type, adj in graph.adjs.items()
    }
    # (0, 2) and (1, 1) are test pairs
    assert edges["user", "view", "item"] == [(0, 0), (1, 0), (0, 1), (1, 2)]
    assert edges["user", "buy", "item"] == [(0, 0), (2, 3)]
    assert edges["item", "rev_buy", "user"] == [(0, 0), (3, 2)]
    assert edges["user.age", "describes", "user"] == [(0, 0), (1, 1), (0, 2)]
    assert edges["user", "has", "user.age"] == [(0, 0), (2, 0), (1, 1)]
    assert len(edges) == 6


def test_product_graph_has_neighbors_and_attributes(config):
    data = load_dataset(config)
    split = make_split(data, SplitConfig(valid=0, test=0.4, cold_items=0))
    graph = product_graph(data, split)
    assert graph.num_nodes == {"item": 5, "item.year": 3, "item.genres": 3}
    assert graph.names["item.genres"] == ["Comedy", "Drama", "War"]
    assert dense(graph.adjs["item.genres", "describes", "item"]).tolist() == [
        [0, 1, 1],
        [0, 1, 0],
        [0, 0, 0],
        [0, 1, 1],
        [1, 0, 0],
    ]
    adj = graph.adjs["item", "co_occurs", "item"]
    assert list(zip(adj.row_index().tolist(), adj.indices.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 0), (2, 0)]
    torch.testing.assert_close(graph.weights["item", "co_occurs", "item"], torch.full((4,), 0.5**0.5))


@pytest.mark.parametrize("num_neighbors", [1, 3, 100])
def test_item_neighbors_matches_the_dense_cosine(num_neighbors):
    train = random_train(30, 300, 0.05)  # more items than one block
    matrix = dense(train)
    common = matrix.T @ matrix
    cosine = common / (common.diagonal().outer(common.diagonal()).sqrt().clamp(min=1))
    cosine.fill_diagonal_(0)
    kept = torch.sort(cosine, dim=1, descending=True, stable=True)
    expected = torch.zeros_like(cosine)
    expected.scatter_(1, kept.indices[:, :num_neighbors], kept.values[:, :num_neighbors])

    adj, weight = item_neighbors(train, num_neighbors)
    actual = torch.zeros_like(cosine)
    actual[adj.row_index(), adj.indices] = weight.double()
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)
    assert bool((weight > 0).all())


def test_item_neighbors_of_nothing():
    none = torch.empty(0, dtype=torch.int64)
    for num_items in (0, 4):
        adj, weight = item_neighbors(sorted_csr(none, none, 3, num_items), 5)
        assert (adj.num_rows, adj.num_cols, adj.num_edges, weight.shape) == (num_items, num_items, 0, (0,))


def test_bipartite_is_the_block_matrix():
    train = random_train(6, 9, 0.3)
    block = torch.zeros(15, 15, dtype=torch.float64)
    block[:6, 6:] = dense(train)
    block[6:, :6] = dense(train).T
    adj = bipartite(train)
    assert torch.equal(dense(adj), block)
    assert adj.num_edges == 2 * train.num_edges


def test_attribute_matrix_sorts_its_values():
    adj, names = attribute_matrix([("b", "a"), (), ("b",)])
    assert names == ["a", "b"]
    assert dense(adj).tolist() == [[1, 1], [0, 0], [0, 1]]
    assert attribute_matrix([(), ()])[1] == []


def test_a_graph_that_does_not_fit_is_refused():
    adj = random_train(3, 4, 0.5)
    edge_type = ("item", "of", "user")
    HeteroGraph({"user": 3, "item": 4}, {edge_type: adj})
    with pytest.raises(ValueError, match=r"is 3 x 4, but the nodes make it \(5, 4\)"):
        HeteroGraph({"user": 5, "item": 4}, {edge_type: adj})
    with pytest.raises(ValueError, match="does not fit its edges"):
        HeteroGraph({"user": 3, "item": 4}, {edge_type: adj}, weights={edge_type: torch.ones(1)})
    with pytest.raises(ValueError, match="1 names for 3 nodes"):
        HeteroGraph({"user": 3, "item": 4}, {edge_type: adj}, names={"user": ["ann"]})
