"""What walks, negatives and induced subgraphs promise beyond the contract: probabilities, validity, the same bits."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import chi2

import graphkern as gk
from graphkern.ops import _column_sets

FIVE_SIGMA = 2.9e-7  # probability of more than 5 standard deviations to one side


def graph(num_nodes: int = 400, num_edges: int = 2000, dtype=torch.int64) -> gk.CSR:
    """Rows in no order, with parallel edges, some empty."""
    generator = torch.Generator().manual_seed(0)
    edges = (num_nodes * torch.rand(2, num_edges, generator=generator).square()).to(dtype)
    return gk.CSR.from_edge_index(edges, num_nodes, num_nodes)


def dense(adj: gk.CSR) -> np.ndarray:
    """[N, M] number of parallel edges."""
    counts = np.zeros((adj.num_rows, adj.num_cols))
    np.add.at(counts, (adj.row_index().numpy(), adj.indices.numpy()), 1)
    return counts


def assert_follows(found: torch.Tensor, probability: torch.Tensor) -> None:
    """A chi-square test at 5 sigma: neither too far from these probabilities nor too close. What cannot be is not."""
    assert (found[probability == 0] == 0).all()
    expected = (found.sum() * probability)[probability > 0]
    chi_square, freedom = float(((found[probability > 0] - expected) ** 2 / expected).sum()), expected.shape[0] - 1
    if freedom == 0:
        return
    assert chi2.sf(chi_square, freedom) > FIVE_SIGMA
    if freedom > 20:  # with few, counts may well be just as expected
        assert chi2.cdf(chi_square, freedom) > FIVE_SIGMA


@pytest.mark.parametrize("degree", [2, 7, 64, 1000, 50_000])
def test_first_order_steps_pass_chi_square(degree):
    """The first and the third step from a hub whose neighbors lead straight back."""
    hub = torch.zeros(degree, dtype=torch.long)
    leaves = torch.arange(1, degree + 1)
    adj = gk.CSR.from_edge_index(torch.stack([torch.cat([leaves, hub]), torch.cat([hub, leaves])]), *[degree + 1] * 2)
    walks = gk.random_walk(adj, torch.zeros(max(20_000, 4 * degree), dtype=torch.long), 4, seed=degree)
    assert (walks[:, ::2] == 0).all()
    for step in (1, 3):
        found = torch.bincount(walks[:, step] - 1, minlength=degree).double()
        assert_follows(found, torch.full((degree,), 1 / degree, dtype=torch.float64))


def second_order(counts: np.ndarray, previous: int, node: int, p: float, q: float) -> torch.Tensor:
    """[N] exact probabilities of the next node."""
    bias = np.where(counts[previous] > 0, 1.0, 1 / q)
    bias[previous] = 1 / p
    weight = torch.from_numpy(counts[node] * bias)
    return weight / weight.sum()


@pytest.mark.parametrize(
    ("p", "q"), [(0.25, 4.0), (4.0, 0.25), (2.0, 2.0), (1.0, 0.1), (0.001, 1.0), (1000.0, 50.0), (3.0, 1e12)]
)
def test_node2vec_transitions_are_exact(p, q):
    """Every pair of nodes that walks come by, on a graph with parallel edges, a loop and edges of one direction."""
    source = torch.tensor([1, 2, 2, 3, 0, 2, 4, 0, 1, 1, 5, 4, 0, 3, 5, 1, 5, 2, 3, 4])
    target = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5])
    adj = gk.CSR.from_edge_index(torch.stack([source, target]), 6, 6)
    walks = gk.random_walk(adj, torch.arange(6).repeat(10_000), 8, p, q, seed=2)
    steps = torch.cat([walks[:, i : i + 3] for i in range(7)])
    found = torch.bincount(steps @ torch.tensor([36, 6, 1]), minlength=216).view(6, 6, 6).double()
    counts, checked = dense(adj), 0
    for previous in range(6):
        for node in range(6):
            if found[previous, node].sum() > 500:
                assert_follows(found[previous, node], second_order(counts, previous, node, p, q))
                checked += 1
    assert checked >= 8


def test_node2vec_is_exact_where_all_proposals_are_refused():
    """Almost all of the weight lies on one edge of many, which proposals hardly ever find."""
    num_nodes = 200
    others = torch.arange(2, num_nodes)
    source = torch.cat([torch.tensor([1, 0]), others, others])
    target = torch.cat([torch.tensor([0, 1]), torch.ones_like(others), torch.ones_like(others)])
    adj = gk.CSR.from_edge_index(torch.stack([source, target]), num_nodes, num_nodes)
    p, q = 1e-5, 2.0
    walks = gk.random_walk(adj, torch.zeros(200_000, dtype=torch.long), 2, p, q, seed=4)
    expected = second_order(dense(adj), 0, 1, p, q)
    stays = (walks[:, 2] != 0).sum().double()
    mean = walks.shape[0] * (1 - expected[0])
    assert abs(stays - mean) < 5 * mean.sqrt()
    assert stays > 0


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (0.5, 2), (2, 1)])
def test_walks_follow_edges(p, q, dtype):
    adj = graph(dtype=dtype)
    walks = gk.random_walk(adj, torch.arange(400), 30, p, q, seed=1)
    assert walks.dtype == dtype
    assert walks.shape == (400, 31)
    counts = dense(adj)
    before, after = walks[:, :-1].flatten().numpy(), walks[:, 1:].flatten().numpy()
    alone = counts.sum(1)[before] == 0
    assert alone.any()
    assert not alone.all()
    assert (before[alone] == after[alone]).all()
    assert (counts[before, after][~alone] > 0).all()


def test_walks_do_not_depend_on_how_rows_are_searched(monkeypatch):
    """By sets made once, by the rows themselves where they are sorted, by looking through them."""
    order = graph().t().t()  # a new graph, rows unsorted
    unsorted = gk.CSR(order.indptr, order.indices, 400)
    arguments = torch.arange(400), 20, 0.5, 3.0
    walks = gk.random_walk(unsorted, *arguments)
    assert "column_sets" in unsorted.derived
    monkeypatch.setattr(_column_sets, "MOST_EDGES", 0)
    again = gk.CSR(order.indptr, order.indices, 400)
    assert torch.equal(gk.random_walk(again, *arguments), walks)
    assert torch.equal(gk.random_walk(gk.CSR(order.indptr, order.indices, 400), *arguments), walks)
    assert "column_sets" not in again.derived


def test_column_sets_are_the_rows_sorted():
    for adj in (graph(), gk.CSR.from_scipy(graph().to_scipy().astype(bool).tocsr())):
        indptr, indices = _column_sets.column_sets(adj)
        for row in range(adj.num_rows):
            columns = adj.indices[adj.indptr[row] : adj.indptr[row + 1]]
            assert torch.equal(indices[indptr[row] : indptr[row + 1]], columns.unique())
    ascending = gk.CSR(torch.tensor([0, 0, 2, 4, 4]), torch.tensor([1, 3, 0, 2]), 4)
    assert _column_sets.column_sets(ascending)[1] is ascending.indices
    repeats = gk.CSR(torch.tensor([0, 2, 3]), torch.tensor([1, 1, 0]), 2)
    assert [t.tolist() for t in _column_sets.column_sets(repeats)] == [[0, 1, 2], [1, 0]]


@pytest.mark.parametrize(("num_cols", "has"), [(10, [3]), (7, [0, 6, 6, 2]), (1000, list(range(0, 1000, 3)))])
def test_negatives_pass_chi_square(num_cols, has):
    adj = gk.CSR(torch.tensor([0, len(has)]), torch.tensor(has[::-1]), num_cols)
    drawn = gk.sample_negatives(adj, torch.zeros(1000, dtype=torch.long), 101, seed=num_cols)
    found = torch.bincount(drawn.flatten(), minlength=num_cols).double()
    probability = torch.ones(num_cols, dtype=torch.float64)
    probability[has] = 0
    assert_follows(found, probability / probability.sum())


def test_negatives_of_an_almost_full_row():
    """Two columns of 100,000 are absent: both are found, equally often."""
    columns = torch.arange(100_000)
    columns = columns[(columns != 5) & (columns != 99_999)]
    adj = gk.CSR(torch.tensor([0, 99_998]), columns, 100_000)
    drawn = gk.sample_negatives(adj, torch.zeros(100, dtype=torch.long), 100)
    assert set(drawn.unique().tolist()) == {5, 99_999}
    assert abs(float((drawn == 5).sum()) - 5000) < 5 * 50


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("most_edges", [0, 2**28])
def test_negatives_are_no_neighbors(dtype, most_edges, monkeypatch):
    """With sets kept and without."""
    monkeypatch.setattr(_column_sets, "MOST_EDGES", most_edges)
    adj = graph(dtype=dtype)
    rows = torch.arange(400).repeat(3)
    drawn = gk.sample_negatives(adj, rows, 7, seed=-5)
    assert drawn.dtype == dtype
    assert (dense(adj)[rows[:, None].expand(-1, 7).numpy(), drawn.numpy()] == 0).all()
    assert not torch.equal(drawn[:400], drawn[400:800]), "a repeated row has draws of its own"
    if most_edges == 0:
        monkeypatch.setattr(_column_sets, "MOST_EDGES", 2**28)
        assert torch.equal(gk.sample_negatives(adj, rows, 7, seed=-5), drawn)


@pytest.mark.parametrize("num_nodes", [400, 5_000_000])
def test_induced_subgraph_keeps_edges_within(num_nodes):
    """By a map of all nodes and by a hash table; edge ids lead to the caller's edges."""
    generator = torch.Generator().manual_seed(1)
    edges = torch.randint(0, 400, (2, 6000), generator=generator)
    adj = gk.CSR.from_edge_index(edges, num_nodes, num_nodes)
    nodes = torch.randperm(400, generator=generator)[:150]
    sub = gk.induced_subgraph(adj, nodes)
    assert torch.equal(sub.nodes, nodes)
    within = torch.isin(edges, nodes).all(dim=0)
    assert torch.equal(sub.edge_id.sort().values, within.nonzero().flatten())
    assert torch.equal(nodes[sub.adj.indices], edges[0, sub.edge_id])
    assert torch.equal(nodes[sub.adj.row_index()], edges[1, sub.edge_id])
    for row in range(150):
        kept = sub.edge_id[sub.adj.indptr[row] : sub.adj.indptr[row + 1]]
        assert (kept[1:] > kept[:-1]).all(), "edges of a row are in the order of the graph"


def test_compiled_calls_give_the_same_bits():
    adj, nodes = graph(), torch.arange(0, 400, 3)

    def call(adj, nodes):
        walks = gk.random_walk(adj, nodes, 10, 0.5, 2.0, seed=3)
        return walks, gk.sample_negatives(adj, nodes, 5, seed=3)

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")(adj, nodes)
    for got, expected in zip(compiled, call(adj, nodes), strict=True):
        assert torch.equal(got, expected)


SCRIPT = """
import hashlib, sys, torch, graphkern as gk
torch.set_num_threads(int(sys.argv[1]))
generator = torch.Generator().manual_seed(0)
edges = (20_000 * torch.rand(2, 300_000, generator=generator).square()).long()
adj, nodes = gk.CSR.from_edge_index(edges, 20_000, 20_000), torch.randperm(20_000, generator=generator)
sub = gk.induced_subgraph(adj, nodes[:9000])
results = [gk.random_walk(adj, nodes, 20), gk.random_walk(adj, nodes, 20, 0.3, 3.0, seed=9), sub.adj.indices,
           sub.adj.indptr, sub.edge_id, gk.sample_negatives(adj, nodes, 9, seed=1)]
print(hashlib.sha256(b"".join(t.numpy().tobytes() for t in results)).hexdigest())
"""


def test_same_bytes_in_processes_with_one_and_more_threads():
    runs = [subprocess.run([sys.executable, "-c", SCRIPT, n], capture_output=True, text=True) for n in "124"]
    assert len({run.stdout for run in runs}) == 1, [run.stderr for run in runs]
    assert len(runs[0].stdout.strip()) == hashlib.sha256().digest_size * 2


def test_memory_mapped_graphs_give_the_same_bits(tmp_path):
    adj, nodes = graph(), torch.arange(0, 400, 2)
    parts = []
    for name in ("indptr", "indices"):
        np.save(tmp_path / f"{name}.npy", getattr(adj, name).numpy())
        parts.append(torch.from_numpy(np.load(tmp_path / f"{name}.npy", mmap_mode="c")))
    mapped = gk.CSR(*parts, 400)
    assert torch.equal(gk.random_walk(mapped, nodes, 9, 2.0, 0.5), gk.random_walk(adj, nodes, 9, 2.0, 0.5))
    assert torch.equal(gk.sample_negatives(mapped, nodes, 9), gk.sample_negatives(adj, nodes, 9))
    assert torch.equal(gk.induced_subgraph(mapped, nodes).adj.indices, gk.induced_subgraph(adj, nodes).adj.indices)
