"""Samples of several relations: membership, counts, distribution; what all samplers repeat and refuse."""

import numpy as np
import pytest
import scipy.sparse
import torch

from graphkern.compat.torch_sparse import SparseTensor
from graphkern.compat.torch_sparse._hetero import MAX_NEIGHBORS
from tests.compat.torch_sparse_matrices import all_edges, check_edges, random_graph, uniform

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.usefixtures("enabled")]
ops = torch.ops.torch_sparse


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


TYPES = {"a": 30, "b": 20, "c": 10}  # c is only ever a source
RELATIONS = [("a", "to", "b"), ("b", "to", "a"), ("a", "knows", "a"), ("c", "has", "b")]


def hetero_graph(num_edges=90):
    """By relation colptr and row."""
    return {kind: random_graph(TYPES[kind[2]], num_edges, TYPES[kind[0]], seed) for seed, kind in enumerate(RELATIONS)}


def _dicts(relations):
    return tuple({"__".join(kind): pair[place] for kind, pair in relations.items()} for place in (0, 1))


def _hetero(relations, fanouts, replace=False, directed=True, seeds=None, hops=None):
    seeds = {"a": torch.tensor([2, 3, 11]), "b": torch.tensor([5])} if seeds is None else seeds
    fanouts = fanouts if isinstance(fanouts, dict) else {"__".join(kind): fanouts for kind in relations}
    hops = max(map(len, fanouts.values()), default=0) if hops is None else hops
    return ops.hetero_neighbor_sample(
        list(TYPES), list(relations), *_dicts(relations), seeds, fanouts, hops, replace, directed
    )


def check_relations(relations, sample):
    node, rows, cols, edges = sample
    assert set(rows) == set(cols) == set(edges) == {"__".join(kind) for kind in relations}
    for kind, (colptr, row) in relations.items():
        name = "__".join(kind)
        check_edges(colptr, row, node[kind[0]], node[kind[2]], rows[name], cols[name], edges[name])


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("fanouts", [[2], [-1], [2, 3], [0, 1]], ids=str)
def test_hetero_neighbor_sample(fanouts, replace, directed):
    relations = hetero_graph()
    sample = _hetero(relations, fanouts, replace, directed)
    node, _rows, cols, edges = sample
    check_relations(relations, sample)
    assert node["a"][:3].tolist() == [2, 3, 11]
    assert node["b"][:1].tolist() == [5]
    for kind, (colptr, row) in relations.items():
        name = "__".join(kind)
        if not directed:
            assert sorted(edges[name].tolist()) == all_edges(colptr, row, node[kind[0]], node[kind[2]])
            continue
        seeds = {"a": 3, "b": 1}[kind[2]]
        degree = (colptr[1:] - colptr[:-1])[node[kind[2]][:seeds]]
        wanted = degree if fanouts[0] < 0 else degree.clamp(max=fanouts[0])
        wanted = torch.where(degree > 0, fanouts[0], 0) if replace and fanouts[0] >= 0 else wanted
        assert torch.equal(torch.bincount(cols[name], minlength=seeds)[:seeds], wanted)
    if fanouts == [-1]:  # everything one hop away
        for source, found in node.items():
            near = [torch.tensor({"a": [2, 3, 11], "b": [5]}.get(source, []), dtype=torch.long)]
            near += [row[edges["__".join(kind)]] for kind, (_, row) in relations.items() if kind[0] == source]
            assert sorted(found.tolist()) == torch.cat(near).unique().tolist()


def test_hetero_leaves_out_what_is_not_asked_for():
    relations = hetero_graph()
    node, rows, _cols, _edges = _hetero(relations, {"a__to__b": [2]})
    colptr, _ = relations["a", "to", "b"]
    assert rows["a__to__b"].numel() == min(2, int(colptr[6] - colptr[5])) == 2
    assert node["c"].numel() == rows["c__has__b"].numel() == 0
    node, rows, _cols, _edges = _hetero(relations, {}, seeds={"c": torch.tensor([5])})
    assert node["c"].tolist() == [5]
    assert all(row.numel() == 0 for row in rows.values())
    for fanouts, seeds in (({"x__to__y": [1]}, None), ({"a__to__b": []}, None), ([1], {"x": torch.tensor([0])})):
        with pytest.raises(ValueError, match=r"lacks|numbers"):
            _hetero(relations, fanouts, seeds=seeds, hops=1)


@pytest.mark.parametrize("replace", [True, False])
def test_hetero_temporal_neighbor_sample(replace):
    relations = hetero_graph()
    time = {"a": torch.arange(30), "b": torch.arange(20)}
    seeds = {"a": torch.tensor([11, 20])}
    fanouts = {"__".join(kind): [3, 3] for kind in relations}
    sample = ops.hetero_temporal_neighbor_sample(
        list(TYPES), list(relations), *_dicts(relations), seeds, fanouts, time, 2, replace, True
    )
    check_relations(relations, sample)
    assert sample[0]["a"][:2].tolist() == [11, 20]
    assert max(sample[0]["a"].tolist() + sample[0]["b"].tolist()) <= 20
    with pytest.raises(ValueError, match="directed"):
        ops.hetero_temporal_neighbor_sample(
            list(TYPES), list(relations), *_dicts(relations), seeds, fanouts, time, 2, replace, False
        )


def _hgt(relations, numbers, seeds=None):
    seeds = {"a": torch.tensor([2, 3, 11])} if seeds is None else seeds
    return ops.hgt_sample(*_dicts(relations), seeds, dict.fromkeys(TYPES, numbers), len(numbers))


@pytest.mark.parametrize("numbers", [[0], [4], [3, 2], [5, 5, 5], [99, 99]], ids=str)
def test_hgt_sample(numbers):
    relations = hetero_graph()
    sample = _hgt(relations, numbers)
    node, _rows, _cols, edges = sample
    node = {kind: node.get(kind, torch.empty(0, dtype=torch.long)) for kind in TYPES}
    check_relations(relations, (node, *sample[1:]))
    assert node["a"][:3].tolist() == [2, 3, 11]
    for kind, found in node.items():
        assert found.unique().numel() == found.numel()
        assert found.numel() <= (3 if kind == "a" else 0) + sum(numbers)
    for kind, (colptr, row) in relations.items():
        name = "__".join(kind)
        assert sorted(edges[name].tolist()) == all_edges(colptr, row, node[kind[0]], node[kind[2]])
    assert numbers != [0] or set(sample[0]) == {"a"}


def test_hgt_draws_by_squared_budget():
    # node 0 is led to by 1, 2, 3; node 1 of the same type by 1 only: budgets of their sources are 1/4 to 1
    links = scipy.sparse.csc_matrix(np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1]]))
    colptr, row = (torch.from_numpy(array).long() for array in (links.indptr, links.indices))
    weight = np.array([0.25, 1.25, 0.25, 1.25]) ** 2
    counts, trials = np.zeros(4), 500
    name = "s__to__d"
    for _ in range(trials):
        node = ops.hgt_sample({name: colptr}, {name: row}, {"d": torch.arange(3)}, {"s": [1], "d": [0]}, 1)[0]
        counts[node["s"]] += 1
    share = weight / weight.sum()
    uniform(counts, share, trials)
    pairs, trials = np.zeros((4, 4)), 700
    for _ in range(trials):
        node = ops.hgt_sample({name: colptr}, {name: row}, {"d": torch.arange(3)}, {"s": [2], "d": [0]}, 1)[0]
        pairs[tuple(sorted(node["s"].tolist()))] += 1
    # one after the other, without replacement
    expected = share[:, None] * share / (1 - share[:, None])
    np.fill_diagonal(expected, 0)
    uniform(pairs[np.triu_indices(4, 1)], (expected + expected.T)[np.triu_indices(4, 1)], trials)


def test_hgt_looks_at_a_part_of_many_neighbors():
    name, degree = "s__to__d", 4 * MAX_NEIGHBORS
    colptr, row = torch.tensor([0, degree, degree + 1]), torch.cat([torch.arange(degree), torch.tensor([7])])
    counts, trials = np.zeros(degree), 150
    for _ in range(trials):
        node, rows, cols, edges = ops.hgt_sample(
            {name: colptr}, {name: row}, {"d": torch.arange(2)}, {"s": [degree], "d": [0]}, 1
        )
        assert MAX_NEIGHBORS <= node["s"].numel() <= MAX_NEIGHBORS + 1
        assert torch.equal(node["s"][rows[name]], row[edges[name]])
        assert int((cols[name] == 0).sum()) <= MAX_NEIGHBORS
        counts[node["s"]] += 1
    uniform(np.delete(counts, 7), MAX_NEIGHBORS / degree, trials)


def test_hgt_arguments():
    relations = hetero_graph()
    with pytest.raises(ValueError, match="lacks"):
        ops.hgt_sample(*_dicts(relations), {"a": torch.tensor([0])}, {"a": [1]}, 1)
    with pytest.raises(ValueError, match="numbers"):
        ops.hgt_sample(*_dicts(relations), {"a": torch.tensor([0])}, {kind: [1] for kind in TYPES}, 2)
    with pytest.raises(ValueError, match="named"):
        ops.hgt_sample({"a": torch.tensor([0])}, {"a": torch.tensor([])}, {}, {}, 1)


def _calls():
    colptr, row = random_graph()
    matrix = SparseTensor(rowptr=colptr, col=row, sparse_sizes=(40, 40))
    seeds = torch.arange(12)
    relations = hetero_graph()
    return {
        "neighbor_sample": lambda: ops.neighbor_sample(colptr, row, seeds, [3, 2], False, True),
        "sample_adj": lambda: ops.sample_adj(colptr, row, seeds, 3, False),
        "random_walk": lambda: [matrix.random_walk(seeds, 5)],
        "sample": lambda: [matrix.sample(2)],
        "ego": lambda: ops.ego_k_hop_sample_adj(colptr, row, seeds, 2, 2, False),
        "hetero": lambda: list(_hetero(relations, [2, 2])[0].values()),
        "hgt": lambda: list(_hgt(relations, [3, 3])[0].values()),
    }


@pytest.mark.parametrize("name", ["neighbor_sample", "sample_adj", "random_walk", "sample", "ego", "hetero", "hgt"])
def test_seed_repeats_a_sample(name):
    call = _calls()[name]
    samples = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        first, second = call(), call()
        samples.append([tensor.tolist() for tensor in (*first, *second)])
        assert samples[-1][: len(first)] != samples[-1][len(first) :]
    assert samples[0] == samples[1]
    assert samples[0] != samples[2]


BAD_GRAPHS = {
    "seed too large": ([0, 1, 2], [0, 1], [2]),
    "negative seed": ([0, 1, 2], [0, 1], [-1]),
    "pointers decrease": ([0, 2, 1], [0], [0]),
    "pointers too far": ([0, 1, 9], [0, 1], [0]),
    "negative neighbor": ([0, 1, 2], [0, -1], [0]),
}


@pytest.mark.parametrize("name", BAD_GRAPHS)
@pytest.mark.parametrize("operator", ["neighbor_sample", "sample_adj", "random_walk", "saint", "ego", "hgt", "hetero"])
def test_bad_graphs_and_seeds(operator, name):
    colptr, row, seeds = (torch.tensor(numbers) for numbers in BAD_GRAPHS[name])
    kind = "a__to__a"
    call = {
        "neighbor_sample": lambda: ops.neighbor_sample(colptr, row, seeds, [1], False, True),
        "sample_adj": lambda: ops.sample_adj(colptr, row, seeds, 1, False),
        "random_walk": lambda: ops.random_walk(colptr, row, seeds, 2),
        "saint": lambda: ops.saint_subgraph(seeds, colptr, row, row),
        "ego": lambda: ops.ego_k_hop_sample_adj(colptr, row, seeds, 1, 1, False),
        "hgt": lambda: ops.hgt_sample({kind: colptr}, {kind: row}, {"a": seeds}, {"a": [1]}, 1),
        "hetero": lambda: ops.hetero_neighbor_sample(
            ["a"], [("a", "to", "a")], {kind: colptr}, {kind: row}, {"a": seeds}, {kind: [1]}, 1, False, True
        ),
    }[operator]
    with pytest.raises((ValueError, IndexError)):
        call()
