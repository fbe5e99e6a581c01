"""What a sample promises beyond the contract: probabilities, times, subgraphs, the same bytes everywhere."""

from __future__ import annotations

import hashlib
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import graphkern as gk
from graphkern.loader import NeighborLoader
from graphkern.ops import _sample


def star(degree: int) -> gk.CSR:
    """Node 0 has the neighbors 1 .. degree."""
    edges = torch.stack([torch.arange(1, degree + 1), torch.zeros(degree, dtype=torch.long)])
    return gk.CSR.from_edge_index(edges, degree + 1, degree + 1)


def graph(num_nodes: int = 400, num_edges: int = 6000, seed: int = 0) -> gk.CSR:
    generator = torch.Generator().manual_seed(seed)
    edges = (num_nodes * torch.rand(2, num_edges, generator=generator).square()).long()
    return gk.CSR.from_edge_index(edges, num_nodes, num_nodes)


def counts(adj: gk.CSR, fanout: int, runs: int, **options) -> torch.Tensor:
    """How often each edge of node 0 is drawn over `runs` seeds, as disjoint subgraphs of one call."""
    seeds = torch.zeros(runs, dtype=torch.long)
    drawn = gk.sample_neighbors(adj, seeds, [fanout], disjoint=True, seed=runs, **options)
    return torch.bincount(drawn.edge_id, minlength=adj.num_edges).double()


def assert_frequencies(found: torch.Tensor, probability: torch.Tensor, runs: int) -> None:
    """Each count is within 5 standard deviations of its expectation."""
    deviation = (runs * probability * (1 - probability)).sqrt().clamp(min=1)
    assert ((found - runs * probability).abs() < 5 * deviation).all()


@pytest.mark.parametrize("degree", [2, 7, 64, 1000, 100_000])
@pytest.mark.parametrize("replace", [False, True])
def test_uniform_draws_pass_chi_square(degree, replace):
    fanout, runs = max(1, min(10, degree // 2)), 20_000 if degree <= 64 else 200_000
    found = counts(star(degree), fanout, runs, replace=replace)
    expected = runs * fanout / degree
    share = 1 if replace else 1 - fanout / degree  # drawn without replacement counts spread less
    chi_square = float(((found - expected) ** 2 / (expected * share)).sum()) * (1 if replace else (degree - 1) / degree)
    assert abs(chi_square - (degree - 1)) < 5 * math.sqrt(2 * (degree - 1))


def test_pairs_are_drawn_uniformly():
    """All subsets of 2 out of 5 are equally likely, not only all elements."""
    drawn = gk.sample_neighbors(star(5), torch.zeros(20_000, dtype=torch.long), [2], disjoint=True, seed=1)
    pairs = drawn.edge_id.view(-1, 2).sort(dim=1).values
    found = torch.bincount(pairs[:, 0] * 5 + pairs[:, 1], minlength=25)
    assert (found > 0).sum() == 10
    assert ((found[found > 0] - 2000).abs() < 5 * math.sqrt(2000 * 0.9)).all()


def inclusion(weight: list[float], fanout: int) -> torch.Tensor:
    """Probability of each edge to be among `fanout` drawn one after the other in proportion to weight."""
    probability = torch.zeros(len(weight), dtype=torch.float64)
    for order in itertools.permutations(range(len(weight)), fanout):
        share, left = 1.0, sum(weight)
        for edge in order:
            share *= weight[edge] / left
            left -= weight[edge]
        probability[list(order)] += share
    return probability


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weighted_inclusion_is_exact(dtype):
    weight, runs = [0.5, 1.0, 3.0, 0.0, 8.0, 0.25], 100_000
    found = counts(star(6), 2, runs, weight=torch.tensor(weight, dtype=dtype))
    assert found[3] == 0
    assert_frequencies(found, inclusion(weight, 2), runs)


def test_weighted_draws_with_replacement_follow_the_weights():
    weight, runs = torch.tensor([0.5, 1.0, 3.0, 0.0, 8.0], dtype=torch.float64), 100_000
    found = counts(star(5), 4, runs, weight=weight, replace=True)
    assert found[3] == 0
    assert_frequencies(found, weight / weight.sum(), 4 * runs)


def test_labor_takes_each_edge_with_its_probability_and_shares_neighbors():
    found = counts(star(40), 10, 50_000, labor=True)
    assert_frequencies(found, torch.full((40,), 0.25, dtype=torch.float64), 50_000)
    # 50 rows with the same 40 neighbors: one random number a neighbor, so all rows take the same ones
    source = torch.arange(50, 90).repeat(50)
    edges = torch.stack([source, torch.arange(50).repeat_interleave(40)])
    adj = gk.CSR.from_edge_index(edges, 90, 90)
    drawn = gk.sample_neighbors(adj, torch.arange(50), [10], labor=True, seed=4)
    assert drawn.nodes.numel() < 50 + 25 < gk.sample_neighbors(adj, torch.arange(50), [10], seed=4).nodes.numel()


def test_no_neighbor_is_drawn_twice():
    adj = graph()
    for options in ({}, {"weight": torch.rand(adj.num_edges)}, {"labor": True}, {"disjoint": True}):
        sub = gk.sample_neighbors(adj, torch.arange(60), [7, 5], seed=2, **options)
        row = sub.adj.row_index().long()
        assert torch.stack([row, sub.edge_id]).unique(dim=1).shape[1] == sub.edge_id.numel()


def test_edges_lead_where_the_graph_says():
    edge_index = torch.stack([torch.randint(0, 300, (4000,)), torch.randint(0, 300, (4000,))])
    adj = gk.CSR.from_edge_index(edge_index, 300, 300)
    for options in ({}, {"disjoint": True}, {"replace": True}, {"labor": True}):
        sub = gk.sample_neighbors(adj, torch.arange(0, 300, 5), [4, 3, 2], seed=9, **options)
        row, column = sub.nodes[sub.adj.row_index()], sub.nodes[sub.adj.indices]
        assert torch.equal(edge_index[:, sub.edge_id], torch.stack([column, row]))
        if sub.batch is not None:
            assert torch.equal(sub.batch[sub.adj.row_index()], sub.batch[sub.adj.indices])
            assert torch.stack([sub.nodes, sub.batch]).unique(dim=1).shape[1] == sub.nodes.numel()


@pytest.mark.parametrize("of_nodes", [False, True])
@pytest.mark.parametrize("temporal", ["uniform", "last"])
def test_no_neighbor_comes_from_the_future(temporal, of_nodes):
    adj = graph()
    size = adj.num_cols if of_nodes else adj.num_edges
    generator = torch.Generator().manual_seed(3)
    time, seed_time = (torch.randint(0, 100, (n,), generator=generator) for n in (size, 80))
    given = {"node_time" if of_nodes else "edge_time": time}
    sub = gk.sample_neighbors(adj, torch.arange(80), [5, 4], seed_time=seed_time, temporal=temporal, seed=1, **given)
    inverse = torch.empty_like(adj.edge_id)
    inverse[adj.edge_id] = torch.arange(adj.num_edges)
    stored = inverse[sub.edge_id]
    edge_time = time[adj.indices] if of_nodes else time
    batch = sub.batch[sub.adj.row_index()]
    assert (edge_time[stored] <= seed_time[batch]).all()
    if temporal == "last":
        for row in range(sum(sub.num_nodes_per_hop[:2])):
            node, limit = int(sub.nodes[row]), int(seed_time[sub.batch[row]])
            allowed = [e for e in range(int(adj.indptr[node]), int(adj.indptr[node + 1])) if edge_time[e] <= limit]
            latest = sorted(sorted(allowed, key=lambda e: (int(edge_time[e]), e))[-(5 if row < 80 else 4) :])
            assert stored[sub.adj.indptr[row] : sub.adj.indptr[row + 1]].tolist() == latest


def test_disjoint_subgraphs_do_not_depend_on_their_neighbors():
    """A seed alone is drawn as the first of many; repeated seeds are drawn independently."""
    adj = graph()
    many = gk.sample_neighbors(adj, torch.full((50,), 7), [6, 4], disjoint=True, seed=5)
    alone = gk.sample_neighbors(adj, torch.tensor([7]), [6, 4], disjoint=True, seed=5)
    first = many.batch[many.adj.row_index()] == 0
    assert many.edge_id[first].tolist() == alone.edge_id.tolist()
    rows = many.edge_id[: 50 * 6].view(50, 6).sort(dim=1).values
    assert rows.unique(dim=0).shape[0] > 25


def test_hetero_of_one_type_is_the_homogeneous_sample():
    adj, seeds = graph(), torch.arange(0, 100, 3)
    one = gk.sample_neighbors(adj, seeds, [5, 3], seed=6)
    key = ("n", "to", "n")
    many = gk.sample_neighbors_hetero({key: adj}, {"n": seeds}, [5, 3], seed=6)
    assert torch.equal(one.nodes, many.nodes["n"])
    assert torch.equal(one.edge_id, many.edge_id[key])
    assert torch.equal(one.adj.indices, many.adjs[key].indices)
    assert torch.equal(one.adj.indptr, many.adjs[key].indptr)


def digest(adj: gk.CSR) -> str:
    """Of samples in every mode, large enough to be shared by threads."""
    seeds, result = torch.arange(0, adj.num_rows, 2), hashlib.sha256()
    weight = (torch.arange(adj.num_edges) % 7).float()
    time = torch.arange(adj.num_edges) % 11
    for options in (
        {}, {"replace": True}, {"disjoint": True}, {"weight": weight}, {"labor": True},
        {"edge_time": time, "seed_time": torch.full_like(seeds, 6)},
        {"edge_time": time, "seed_time": torch.full_like(seeds, 6), "temporal": "last"},
    ):  # fmt: skip
        sub = gk.sample_neighbors(adj, seeds, [10, 10, 5], seed=42, **options)
        for tensor in (sub.nodes, sub.adj.indptr, sub.adj.indices, sub.edge_id):
            result.update(tensor.numpy().tobytes())
    return result.hexdigest()


def test_the_same_bytes_for_threads_processes_and_memory_maps(tmp_path):
    adj = graph(5000, 60_000)
    adj = gk.CSR(adj.indptr, adj.indices, adj.num_cols)
    for name in ("indptr", "indices"):
        np.save(tmp_path / f"{name}.npy", getattr(adj, name).numpy())
    code = (
        "import sys, numpy as np, torch, graphkern as gk\n"
        "from tests.ops.test_sampling import digest\n"
        "torch.set_num_threads(int(sys.argv[1]))\n"
        "load = lambda name: torch.from_numpy(np.load(f'{sys.argv[2]}/{name}.npy', mmap_mode='r'))\n"
        "print(digest(gk.CSR(load('indptr'), load('indices'), 5000)))\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, str(threads), str(tmp_path)],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
        for threads in (1, 2, 5)
    }  # fmt: skip
    assert printed == {digest(adj)}


ADJ = gk.CSR.from_edge_index(torch.tensor([[0, 1, 2, 1], [0, 0, 1, 2]]), 3, 3)
SEEDS, TIMES = torch.arange(3), torch.arange(4)
KEY = ("a", "to", "a")
OPTIONS = _sample.Options(replace=False, temporal="uniform", disjoint=False, labor=False, seed=0)


def sample(**options):
    return lambda: gk.sample_neighbors(ADJ, SEEDS, [2], **options)


def hetero(adjs=None, seeds=None, fanouts=None, **options):
    return lambda: gk.sample_neighbors_hetero(adjs or {KEY: ADJ}, seeds or {"a": SEEDS}, fanouts or [2], **options)


BAD = {
    "weight: negative": (sample(weight=torch.tensor([1, -1.0, 1, 1])), ValueError, r"weight\[1\] is -1.0"),
    "weight: NaN": (sample(weight=torch.tensor([1, 1, math.nan, 1])), ValueError, r"weight\[2\] is nan"),
    "weight: infinite": (sample(weight=torch.tensor([math.inf, 1, 1, 1])), ValueError, "finite"),
    "weight: shape": (sample(weight=torch.ones(3)), ValueError, r"weight must be \[4\]"),
    "weight: dtype": (sample(weight=torch.ones(4).half()), TypeError, "float32 or float64"),
    "time: negative": (sample(edge_time=TIMES - 1, seed_time=SEEDS), ValueError, r"edge_time\[0\] is -1"),
    "time: negative seed_time": (sample(edge_time=TIMES, seed_time=SEEDS - 1), ValueError, r"seed_time\[0\] is -1"),
    "time: dtype": (sample(edge_time=TIMES.float(), seed_time=SEEDS), TypeError, "edge_time must be an int64"),
    "time: shape": (sample(node_time=TIMES, seed_time=SEEDS), ValueError, r"node_time must be \[3\]"),
    "time: shape of seed_time": (sample(edge_time=TIMES, seed_time=TIMES), ValueError, r"seed_time must be \[3\]"),
    "time: no seed_time": (sample(edge_time=TIMES), ValueError, "needs seed_time"),
    "time: seed_time alone": (sample(seed_time=SEEDS), ValueError, "needs edge_time or node_time"),
    "time: two": (sample(edge_time=TIMES, node_time=SEEDS, seed_time=SEEDS), ValueError, "exclude each other"),
    "temporal": (sample(temporal="first"), ValueError, "'uniform' or 'last'"),
    "temporal: no times": (sample(temporal="last"), ValueError, "needs edge_time"),
    "temporal: replace": (sample(temporal="last", replace=True), ValueError, "with replacement"),
    "temporal: weight": (
        sample(temporal="last", edge_time=TIMES, seed_time=SEEDS, weight=torch.ones(4)),
        ValueError,
        "takes no weight",
    ),
    "labor: replace": (sample(labor=True, replace=True), ValueError, "with replacement"),
    "labor: weight": (sample(labor=True, weight=torch.ones(4)), ValueError, "takes no weight"),
    "labor: last": (sample(labor=True, temporal="last"), ValueError, "at random"),
    "hetero: unknown seeds": (hetero(seeds={"b": SEEDS}), ValueError, "seeds has 'b', which adjs lack"),
    "hetero: seeds": (hetero(seeds={"a": SEEDS + 1}), ValueError, r"seeds\['a'\] must be in \[0, 3\)"),
    "hetero: key": (hetero(adjs={("a", "a"): ADJ}), ValueError, "source type, relation, destination type"),
    "hetero: not a graph": (hetero(adjs={KEY: SEEDS}), TypeError, "graphkern.CSR"),
    "hetero: sizes": (
        hetero(adjs={KEY: ADJ, ("a", "x", "b"): gk.CSR(torch.tensor([0, 1]), torch.tensor([0]), 4)}),
        ValueError,
        "has 4 nodes of type 'a', not 3",
    ),
    "hetero: fanouts": (hetero(fanouts={("a", "b", "c"): [2]}), ValueError, "fanouts has"),
    "hetero: fanouts left out": (
        hetero(adjs={KEY: ADJ, ("a", "2", "a"): ADJ}, fanouts={KEY: [2]}),
        ValueError,
        "leaves",
    ),
    "hetero: length of fanouts": (
        hetero(adjs={KEY: ADJ, ("a", "2", "a"): ADJ}, fanouts={KEY: [2], ("a", "2", "a"): [2, 3]}),
        ValueError,
        "one length",
    ),
    "hetero: weight left out": (hetero(weight={}), ValueError, "weight leaves out"),
    "hetero: index dtypes": (
        hetero(adjs={KEY: ADJ, ("a", "2", "a"): ADJ.to(dtype=torch.int32)}),
        ValueError,
        "one index dtype",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()


def test_weights_made_in_inference_mode_will_do():
    with torch.inference_mode():
        weight = torch.ones(4)
    assert gk.sample_neighbors(ADJ, SEEDS, [2], weight=weight).edge_id.numel() == 4


def test_weights_are_read_again_after_they_were_written():
    weight = torch.ones(4)
    gk.sample_neighbors(ADJ, SEEDS, [1], weight=weight)
    weight[2] = -1
    with pytest.raises(ValueError, match="weight"):
        gk.sample_neighbors(ADJ, SEEDS, [1], weight=weight)


def test_a_cuda_device_may_sample_a_graph_in_page_locked_memory_and_no_other(monkeypatch):
    with FakeTensorMode():
        seeds, time = torch.zeros(3, dtype=torch.int32, device="cuda"), torch.zeros(3, device="cuda").long()

    def arguments():
        relation = _sample.relation(ADJ, torch.ones(4), torch.zeros(4).long(), None)
        times = _sample.seed_times(relation, {"a": seeds}, {"a": time}, {})
        return _sample.arguments({KEY: relation}, {"a": seeds}, times, [2], OPTIONS)

    with pytest.raises(ValueError, match="is on cuda:0 but adj is on cpu"):
        arguments()
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: tensor is ADJ.indices)
    monkeypatch.setattr(_sample, "_values", lambda *_, **__: None)  # fake tensors have none
    indptr, indices, _, _, _, starts, weight, *_ = arguments()
    assert [t[0].device.type for t in (indptr, indices, weight, starts)] == ["cpu", "cpu", "cpu", "cuda"]
    assert starts[0].dtype == indptr[0].dtype


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs CUDA")
@pytest.mark.parametrize("fanouts", [[5, 4], [-1, 3]])
def test_a_graph_in_page_locked_memory_gives_the_sample_of_one_on_the_device(fanouts):
    adj, seeds = graph(), torch.arange(0, 400, 7)
    weight, time = torch.rand(adj.num_edges), torch.arange(adj.num_edges)
    for options in ({}, {"weight": weight.pin_memory()}, {"edge_time": time.pin_memory(), "seed_time": 50 * seeds}):
        there = {name: value.cuda() if name == "seed_time" else value for name, value in options.items()}
        found = gk.sample_neighbors(adj.pin_memory(), seeds.cuda(), fanouts, **there)
        want = gk.sample_neighbors(adj, seeds, fanouts, **options)
        assert found.nodes.is_cuda
        for name in ("nodes", "edge_id"):
            assert torch.equal(getattr(found, name).cpu(), getattr(want, name))
        assert torch.equal(found.adj.indices.cpu(), want.adj.indices)
    batch = next(iter(NeighborLoader(adj.pin_memory(), fanouts, seeds.cuda(), batch_size=8)))
    assert torch.equal(batch.nodes[:8].cpu(), seeds[:8])
    with pytest.raises(RuntimeError, match="pinned"):
        gk.sample_neighbors(adj.pin_memory(), seeds.cuda(), fanouts, weight=weight)
