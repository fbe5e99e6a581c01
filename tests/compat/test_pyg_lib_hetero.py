"""pyg_lib.sampler.hetero_neighbor_sample: samples replayed in plain Python, and what is missing from its dicts."""

from __future__ import annotations

import itertools

import pytest
import torch

from graphkern.compat.pyg_lib import sampler
from tests.compat.test_pyg_lib_sampler import random_graph, replay

SIZES = {"user": 20, "item": 13, "tag": 6}
TYPES = [("user", "buys", "item"), ("item", "by", "user"), ("user", "knows", "user"), ("tag", "of", "item")]
FANOUTS = {
    "all": [[-1, -1]] * 4,
    "few": [[2, 1], [3, 2], [1, 2], [2, 2]],
    "uneven": [[2], [3, 1, 2], [], [1, 1]],
    "none": [[0, 0], [2, 2], [0, 1], [0, 0]],
    "no hops": [[], [], [], []],
}


def world(csc, types=TYPES, dtype=torch.int64):
    """rowptr and col by edge type; with csc the rows are the destinations."""
    graphs = {}
    for number, key in enumerate(types):
        rows, columns = (SIZES[key[2]], SIZES[key[0]]) if csc else (SIZES[key[0]], SIZES[key[2]])
        graphs[key] = random_graph(rows, columns, 40 + 10 * number, seed=number, dtype=dtype)
    return {key: graph[0] for key, graph in graphs.items()}, {key: graph[1] for key, graph in graphs.items()}


def everywhere(fanouts):
    return dict.fromkeys(TYPES, fanouts)


def follow(rowptr, col, seeds, fanouts, out, csc, **how):
    graphs = {
        (key[2 if csc else 0], key, key[0 if csc else 2]): (rowptr[key].tolist(), col[key].tolist()) for key in rowptr
    }
    replay(graphs, {kind: nodes.tolist() for kind, nodes in seeds.items()}, fanouts, out, csc=csc, **how)


SEEDS = {
    "one type": {"user": [3, 0, 16]},
    "two types": {"item": [2, 5], "user": [3, 0, 16]},
    "the other order": {"user": [3, 0, 16], "item": [2, 5]},
    "a type that is no row": {"tag": [1, 5], "item": [2]},
    "repeated": {"user": [3, 3], "item": [2, 2, 1]},
    "empty": {"user": [], "item": [4]},
}


def tensors(seeds, dtype=torch.int64):
    return {kind: torch.tensor(nodes, dtype=dtype) for kind, nodes in seeds.items()}


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("fanouts", FANOUTS)
@pytest.mark.parametrize("replace, disjoint, csc", [(False, False, True), (True, True, False), (False, True, True)])
def test_sample_is_a_walk_over_the_graphs(seeds, fanouts, replace, disjoint, csc):
    rowptr, col = world(csc)
    given, hops = tensors(SEEDS[seeds]), dict(zip(TYPES, FANOUTS[fanouts], strict=True))
    out = sampler.hetero_neighbor_sample(rowptr, col, given, hops, csc=csc, replace=replace, disjoint=disjoint)
    follow(rowptr, col, given, hops, out, csc, replace=replace, disjoint=disjoint)
    assert set(out[2]) == set(SIZES)
    assert list(out[0]) == list(out[1]) == list(out[3]) == list(out[5]) == TYPES


@pytest.mark.parametrize("csc", [False, True])
def test_int32(csc):
    rowptr, col = world(csc, dtype=torch.int32)
    given, hops = tensors(SEEDS["two types"], torch.int32), everywhere([2, 2])
    out = sampler.hetero_neighbor_sample(rowptr, col, given, hops, csc=csc)
    follow(rowptr, col, given, hops, out, csc)
    assert {t.dtype for found in out[:4] for t in found.values()} == {torch.int32}


@pytest.mark.parametrize("shift", [0, -50])
@pytest.mark.parametrize("kind", ["node_time_dict", "edge_time_dict"])
@pytest.mark.parametrize("without", [None, 0, 3])
@pytest.mark.parametrize("strategy", ["uniform", "last"])
def test_times(shift, kind, without, strategy):
    rowptr, col = world(csc=True)
    if kind == "node_time_dict":
        left_out = {None: None, 0: "user", 3: "tag"}[without]
        times = {t: torch.arange(n) % 9 + shift for t, n in SIZES.items() if t != left_out}
        for key in TYPES:
            if key[0] in times:
                for a, b in itertools.pairwise(rowptr[key].tolist()):
                    order = times[key[0]][col[key][a:b]].sort(stable=True).indices
                    col[key][a:b] = col[key][a:b][order]
        of_edge = {key: times[key[0]][col[key]].tolist() for key in TYPES if key[0] in times}
    else:
        times = {key: torch.arange(col[key].shape[0]) // 4 + shift for i, key in enumerate(TYPES) if i != without}
        of_edge = {key: time.tolist() for key, time in times.items()}
    seeds = tensors(SEEDS["two types"])
    seed_time = {"item": torch.tensor([4, -1]) + shift, "user": torch.tensor([6, 100, 2]) + shift}
    limit, hops = torch.cat(list(seed_time.values())).tolist(), everywhere([2, 2])
    out = sampler.hetero_neighbor_sample(
        rowptr, col, seeds, hops, csc=True, disjoint=True, temporal_strategy=strategy,
        seed_time_dict=seed_time, **{kind: times},
    )  # fmt: skip
    follow(
        rowptr, col, seeds, hops, out, True, disjoint=True, last=list(of_edge) if strategy == "last" else (),
        allowed=lambda key, batch, e: key not in of_edge or of_edge[key][e] <= limit[batch],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["node_time_dict", "edge_time_dict"])
def test_what_has_no_time_is_drawn_uniformly_where_the_last_are_wanted(kind):
    dated, undated = ("a", "dated", "b"), ("c", "undated", "b")
    rowptr = {dated: torch.tensor([0, 0]), undated: torch.tensor([0, 5])}
    col = {dated: torch.tensor([], dtype=torch.int64), undated: torch.arange(5)}
    times = {"a": torch.tensor([5])} if kind == "node_time_dict" else {dated: torch.tensor([], dtype=torch.int64)}
    counts = torch.zeros(5)
    torch.manual_seed(5)
    for _ in range(600):
        edge = sampler.hetero_neighbor_sample(
            rowptr, col, {"b": torch.tensor([0])}, {dated: [1], undated: [2]}, csc=True, disjoint=True,
            temporal_strategy="last", seed_time_dict={"b": torch.tensor([0])}, **{kind: times},
        )[3][undated]  # fmt: skip
        assert edge.unique().numel() == 2
        counts[edge] += 1 / 600
    torch.testing.assert_close(counts, torch.full((5,), 0.4), atol=0.08, rtol=0)


def test_seeds_have_their_node_time_by_default():
    rowptr, col = world(csc=True)
    time = {kind: torch.arange(n) for kind, n in SIZES.items()}
    given = [sampler.hetero_neighbor_sample(
        rowptr, col, {"user": torch.tensor([3, 9])}, everywhere([-1, -1]), node_time_dict=time,
        seed_time_dict=seed_time, csc=True, disjoint=True,
    ) for seed_time in (None, {"user": torch.tensor([3, 9])})]  # fmt: skip
    for key in TYPES:
        assert torch.equal(given[0][3][key], given[1][3][key])


def test_weights_and_relations_without():
    rowptr, col = world(csc=True)
    weight = {TYPES[0]: torch.rand(40).round()}  # zeros and ones
    seeds, hops = tensors(SEEDS["one type"]), everywhere([1, 1])
    degree = rowptr[TYPES[0]].diff()
    for _ in range(20):
        out = sampler.hetero_neighbor_sample(rowptr, col, seeds, hops, edge_weight_dict=weight, csc=True)
        follow(rowptr, col, seeds, hops, out, True)
        for i, e in zip(out[1][TYPES[0]].tolist(), out[3][TYPES[0]].tolist(), strict=True):
            row = int(out[2]["item"][i])
            has_weight = bool(weight[TYPES[0]][rowptr[TYPES[0]][row] : rowptr[TYPES[0]][row + 1]].any())
            assert weight[TYPES[0]][e] > 0 or degree[row] == 1 or not has_weight


def test_seeds_may_lie_beyond_all_edges():
    key = ("a", "to", "b")
    out = sampler.hetero_neighbor_sample(
        {key: torch.tensor([0, 1])}, {key: torch.tensor([2])}, {"a": torch.tensor([900, 2]), "b": torch.tensor([0])},
        {key: [1]}, csc=True,
    )  # fmt: skip
    assert out[2]["a"].tolist() == [900, 2]
    assert (out[0][key].tolist(), out[1][key].tolist()) == ([1], [0])


def test_rows_at_the_ends_of_both_directions():
    """Relations a -> b and b -> a stay apart without csc."""
    there, back = ("a", "to", "b"), ("b", "to", "a")
    rowptr = {there: torch.tensor([0, 1, 1]), back: torch.tensor([0, 0, 0, 1])}
    col = {there: torch.tensor([2]), back: torch.tensor([1])}
    row, column, node, edge, *_ = sampler.hetero_neighbor_sample(
        rowptr, col, {"a": torch.tensor([0])}, {there: [1, 1], back: [1, 1]}
    )
    assert {kind: nodes.tolist() for kind, nodes in node.items()} == {"a": [0, 1], "b": [2]}
    assert {key: (row[key].tolist(), column[key].tolist(), edge[key].tolist()) for key in rowptr} == {
        there: ([0], [0], [0]),
        back: ([0], [1], [0]),
    }


def test_manual_seed_makes_samples_repeat():
    rowptr, col = world(csc=True)
    hops = everywhere([2, 2])
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        out = sampler.hetero_neighbor_sample(rowptr, col, {"user": torch.arange(20)}, hops, csc=True)
        drawn.append(torch.cat(list(out[3].values())))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def without(given, key=TYPES[0]):
    return {other: value for other, value in given.items() if other != key}


USER = {"user": torch.tensor([1])}
BAD = {
    "no col of a relation": (lambda g: {"col_dict": without(g["col_dict"])}, ValueError),
    "no fanouts of a relation": (lambda g: {"num_neighbors_dict": without(g["num_neighbors_dict"])}, ValueError),
    "a seed out of range": (lambda g: {"seed_dict": {"user": torch.tensor([20])}}, ValueError),
    "a negative seed": (lambda g: {"seed_dict": {"tag": torch.tensor([-1])}}, ValueError),
    "a seed alone": (lambda g: {"seed_dict": {"user": torch.tensor(1)}}, ValueError),
    "2-D seeds": (lambda g: {"seed_dict": {"user": torch.ones(1, 1).long()}}, ValueError),
    "floating seeds": (lambda g: {"seed_dict": {"user": torch.ones(1)}}, TypeError),
    "a rowptr without axes": (
        lambda g: {"rowptr_dict": g["rowptr_dict"] | {TYPES[0]: torch.tensor(0)}}, ValueError),
    "seeds of an unknown type": (lambda g: {"seed_dict": {"shop": torch.tensor([0])}}, ValueError),
    "a column out of range": (
        lambda g: {"col_dict": g["col_dict"] | {TYPES[0]: torch.full((40,), 20)}}, ValueError),
    "a negative column": (lambda g: {"col_dict": g["col_dict"] | {TYPES[3]: torch.full((70,), -1)}}, ValueError),
    "rows that disagree": (
        lambda g: {"rowptr_dict": g["rowptr_dict"] | {TYPES[3]: torch.tensor([0, 70])}}, ValueError),
    "mixed dtypes": (lambda g: {"rowptr_dict": g["rowptr_dict"] | {TYPES[0]: torch.zeros(14).int()}}, TypeError),
    "times without disjoint": (lambda g: {"node_time_dict": {"user": torch.arange(20)}}, ValueError),
    "no times of seeds": (lambda g: {"node_time_dict": {"item": torch.arange(13)}, "disjoint": True}, ValueError),
    "no seed times": (
        lambda g: {"edge_time_dict": {TYPES[0]: torch.arange(40)}, "disjoint": True}, ValueError),
    "floating times": (
        lambda g: {"node_time_dict": {"user": torch.rand(20)}, "disjoint": True}, TypeError),
    "negative weights": (lambda g: {"edge_weight_dict": {TYPES[0]: torch.full((40,), -1.0)}}, ValueError),
    "strategy": (lambda g: {"temporal_strategy": ""}, ValueError),
    "undirected": (lambda g: {"directed": False}, NotImplementedError),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    change, error = BAD[name]
    rowptr, col = world(csc=True)
    given = {
        "rowptr_dict": rowptr,
        "col_dict": col,
        "seed_dict": USER,
        "num_neighbors_dict": everywhere([2, 2]),
    }
    with pytest.raises(error):
        sampler.hetero_neighbor_sample(**given | change(given), csc=True)
