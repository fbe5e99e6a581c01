"""pyg_lib.sampler over one relation: each sample is replayed draw by draw in plain Python."""

from __future__ import annotations

import itertools

import pytest
import torch

from graphkern.compat.pyg_lib import sampler

N = 24


def replay(graphs, seeds, fanouts, out, *, csc=False, replace=False, disjoint=False, allowed=None, last=()):
    """Follow a sample: each node of the hop before takes its share of its allowed edges, new nodes are numbered as
    they are met. graphs: (row type, name, column type) -> (rowptr, col); seeds: type -> list; allowed(name, subgraph,
    edge); last: names of relations that take their latest edges, by position."""
    rows, columns, node, edge, num_nodes, num_edges = out
    if csc:
        rows, columns = columns, rows
    kinds = list(node)
    found, first = {kind: [] for kind in kinds}, 0
    for kind, starts in seeds.items():
        found[kind] = [(first + i if disjoint else 0, n) for i, n in enumerate(starts)]
        first += len(starts)
    local = {kind: {} for kind in kinds}
    for kind in kinds:
        for position, key in enumerate(found[kind]):
            local[kind].setdefault(key, position)
    begin, place, hops = dict.fromkeys(kinds, 0), dict.fromkeys(rows, 0), max(map(len, fanouts.values()), default=0)
    counts = {kind: [len(found[kind])] for kind in kinds}
    for hop in range(hops):
        ends = {kind: len(found[kind]) for kind in kinds}
        for (of_rows, name, of_columns), (rowptr, col) in graphs.items():
            start = place[name]
            fanout = fanouts[name][hop] if hop < len(fanouts[name]) else 0
            for i in range(begin[of_rows], ends[of_rows]):
                batch, n = found[of_rows][i]
                may = [e for e in range(rowptr[n], rowptr[n + 1]) if allowed is None or allowed(name, batch, e)]
                every = fanout < 0 or (not replace and fanout >= len(may))
                size = len(may) if every else fanout if may else 0
                taken = edge[name][place[name] : place[name] + size].tolist()
                assert len(taken) == size
                assert set(taken) <= set(may)
                if every:
                    assert taken == may
                elif name in last:
                    assert sorted(taken) == may[-size:] if size else not taken
                elif not replace:
                    assert len(set(taken)) == size
                for e in taken:
                    position = local[of_columns].setdefault((batch, col[e]), len(found[of_columns]))
                    if position == len(found[of_columns]):
                        found[of_columns].append((batch, col[e]))
                    assert (int(rows[name][place[name]]), int(columns[name][place[name]])) == (i, position)
                    place[name] += 1
            assert num_edges[name][hop] == place[name] - start
        begin = ends
        for kind in kinds:
            counts[kind].append(len(found[kind]) - ends[kind])
    assert {name: tensor.numel() for name, tensor in rows.items()} == place
    assert num_nodes == counts
    assert all(len(numbers) == hops for numbers in num_edges.values())
    for kind in kinds:
        wanted = found[kind] if disjoint else [n for _, n in found[kind]]
        assert node[kind].tolist() == [list(w) if disjoint else w for w in wanted]


def alone(out):
    """A result over one relation in the form of several."""
    row, col, node, edge, num_nodes, num_edges = out
    return {"": row}, {"": col}, {"": node}, {"": edge}, {"": num_nodes}, {"": num_edges}


def random_graph(rows=N, columns=N, edges=120, seed=0, dtype=torch.int64):
    generator = torch.Generator().manual_seed(seed)
    degree = torch.bincount(torch.randint(rows - 3, (edges,), generator=generator), minlength=rows)  # 3 rows are empty
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), degree.cumsum(0)])
    return rowptr.to(dtype), torch.randint(columns, (edges,), generator=generator).to(dtype)


def graph_and_check(seeds, fanouts, dtype=torch.int64, allowed=None, last=False, **options):
    rowptr, col = random_graph(dtype=dtype)
    out = sampler.neighbor_sample(rowptr, col, torch.tensor(seeds, dtype=dtype), fanouts, **options)
    assert all(tensor.dtype == dtype for tensor in out[:4])
    shape = {key: options[key] for key in ("csc", "replace", "disjoint") if key in options}
    graph = {("", "", ""): (rowptr.tolist(), col.tolist())}
    replay(graph, {"": seeds}, {"": fanouts}, alone(out), allowed=allowed, last=[""] if last else (), **shape)
    return out


@pytest.mark.parametrize("fanouts", [[-1], [-1, -1], [3], [3, 2], [2, 0, 2], [100, 1], [0], [-1, 2, 1]], ids=str)
@pytest.mark.parametrize("replace, disjoint", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize("csc", [False, True])
def test_sample_is_a_walk_over_the_graph(fanouts, replace, disjoint, csc):
    graph_and_check([5, 0, 23, 11, 7], fanouts, csc=csc, replace=replace, disjoint=disjoint)


@pytest.mark.parametrize("seeds", [[], [0], [23], [4, 4], [4, 9, 4, 4], list(range(N))], ids=str)
@pytest.mark.parametrize("disjoint", [False, True])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_seeds(seeds, disjoint, dtype):
    graph_and_check(seeds, [2, 2], dtype, disjoint=disjoint)


def test_no_hops():
    _row, _col, node, _edge, num_nodes, num_edges = graph_and_check([3, 1], [])
    assert (node.tolist(), num_nodes, num_edges) == ([3, 1], [2], [])


def test_edge_ids_on_request():
    rowptr, col = random_graph()
    assert sampler.neighbor_sample(rowptr, col, torch.arange(3), [2], return_edge_id=False)[3] is None


def test_cycle_by_hand():
    rowptr, col = torch.arange(0, 13, 2), torch.tensor([5, 1, 0, 2, 1, 3, 2, 4, 3, 5, 4, 0])
    row, column, node, edge, num_nodes, num_edges = sampler.neighbor_sample(rowptr, col, torch.tensor([2, 3]), [-1, -1])
    assert row.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert column.tolist() == [2, 1, 0, 3, 4, 0, 1, 5]
    assert node.tolist() == [2, 3, 1, 4, 0, 5]
    assert edge.tolist() == [4, 5, 6, 7, 2, 3, 8, 9]
    assert (num_nodes, num_edges) == ([2, 2, 2], [4, 4])


@pytest.mark.parametrize("options", [{}, {"replace": True}, {"disjoint": True}, {"edge_weight": torch.rand(120)}])
def test_manual_seed_makes_samples_repeat(options):
    rowptr, col = random_graph()

    def drawn(seed):
        torch.manual_seed(seed)
        return [sampler.neighbor_sample(rowptr, col, torch.arange(12), [2, 2], **options)[3] for _ in range(2)]

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


SHIFTS = [0, -7, -1000, -(2**40), 2**40]


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("kind", ["node_time", "edge_time"])
@pytest.mark.parametrize("strategy", ["uniform", "last"])
@pytest.mark.parametrize("fanouts", [[-1, -1], [2, 2]], ids=str)
def test_times(shift, kind, strategy, fanouts):
    rowptr, col = random_graph()
    by_node = torch.arange(N) // 2
    if kind == "node_time":  # sorted within a row, as pyg-lib wants them
        for i in range(N):
            col[rowptr[i] : rowptr[i + 1]] = col[rowptr[i] : rowptr[i + 1]].sort().values
        time = by_node + shift
        of_edge = time[col].tolist()
    else:
        time = torch.arange(120) // 3 + shift
        of_edge = time.tolist()
    seeds, seed_time = [5, 0, 5, 11, 7], torch.tensor([6, 100, 3, -1, 9]) + shift
    torch.manual_seed(0)
    out = sampler.neighbor_sample(
        rowptr, col, torch.tensor(seeds), fanouts, **{kind: time}, seed_time=seed_time, disjoint=True,
        temporal_strategy=strategy,
    )  # fmt: skip
    limit = seed_time.tolist()
    replay(
        {("", "", ""): (rowptr.tolist(), col.tolist())}, {"": seeds}, {"": fanouts}, alone(out), disjoint=True,
        allowed=lambda _, batch, e: of_edge[e] <= limit[batch], last=[""] if strategy == "last" else (),
    )  # fmt: skip


def test_seeds_have_their_node_time_by_default():
    rowptr, col = random_graph()
    time = torch.randperm(N)
    out = sampler.neighbor_sample(rowptr, col, torch.tensor([3, 8]), [-1], node_time=time, disjoint=True)
    graph = {("", "", ""): (rowptr.tolist(), col.tolist())}
    replay(
        graph, {"": [3, 8]}, {"": [-1]}, alone(out), disjoint=True,
        allowed=lambda _, batch, e: bool(time[col[e]] <= time[[3, 8][batch]]),
    )  # fmt: skip


def test_strategy_and_seed_time_mean_nothing_without_times():
    graph_and_check([3, 8], [2, 2], temporal_strategy="last", disjoint=True)
    graph_and_check([3, 8], [2, 2], seed_time=torch.tensor([1, 2]), disjoint=True)


def star(weight, **options):
    """How often each edge of one node is drawn."""
    rowptr, col = torch.tensor([0, len(weight)] + [len(weight)] * len(weight)), torch.arange(1, len(weight) + 1)
    counts = torch.zeros(len(weight))
    torch.manual_seed(3)
    seeds = torch.zeros(4000, dtype=torch.int64)
    edge = sampler.neighbor_sample(rowptr, col, seeds, disjoint=True, **options)[3]
    return counts.index_add(0, edge, torch.ones(edge.shape[0])) / 4000


@pytest.mark.parametrize("replace", [False, True])
def test_draws_are_uniform(replace):
    torch.testing.assert_close(
        star([1] * 5, num_neighbors=[2], replace=replace), torch.full((5,), 0.4), atol=0.04, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("replace", [False, True])
def test_draws_are_in_proportion_to_weights(dtype, replace):
    weight = torch.tensor([1.0, 2.0, 0.0, 5.0], dtype=dtype)
    drawn = star(weight, num_neighbors=[1], edge_weight=weight, replace=replace)
    torch.testing.assert_close(drawn, torch.tensor([0.125, 0.25, 0.0, 0.625]), atol=0.04, rtol=0)


def test_edges_of_weight_zero_come_where_all_edges_come():
    weight = torch.tensor([0.0, 1.0, 0.0])
    for fanout in (-1, 3, 7):
        assert star(weight, num_neighbors=[fanout], edge_weight=weight).tolist() == [1, 1, 1]
    drawn = star(weight, num_neighbors=[2], edge_weight=weight)  # one of those of weight 0 must fill up
    assert drawn[1] == 1
    assert drawn[[0, 2]].tolist() == pytest.approx([0.5, 0.5], abs=0.04)


@pytest.mark.parametrize("csc", [False, True])
def test_undirected_gives_all_edges_between_the_nodes(csc):
    rowptr, col = random_graph()
    out = sampler.neighbor_sample(rowptr, col, torch.tensor([2, 9]), [2, 1], csc=csc, directed=False)
    row, column, node, edge = out[:4]
    row, column = (column, row) if csc else (row, column)
    inside = {(i, e) for i, n in enumerate(node.tolist()) for e in range(rowptr[n], rowptr[n + 1]) if col[e] in node}
    assert set(zip(row.tolist(), edge.tolist(), strict=True)) == inside
    assert torch.equal(node[column], col[edge])


BAD = {
    "seed out of range": ({"seed": torch.tensor([N])}, ValueError),
    "negative seed": ({"seed": torch.tensor([-1])}, ValueError),
    "floating seed": ({"seed": torch.tensor([0.5])}, TypeError),
    "2-D seed": ({"seed": torch.zeros(1, 1, dtype=torch.int64)}, ValueError),
    "column out of range": ({"col": torch.full((120,), N)}, ValueError),
    "negative column": ({"col": torch.full((120,), -1)}, ValueError),
    "short col": ({"col": torch.zeros(7, dtype=torch.int64)}, ValueError),
    "falling rowptr": ({"rowptr": torch.tensor([0, 5, 3, 120])}, ValueError),
    "rowptr without axes": ({"rowptr": torch.tensor(0)}, ValueError),
    "mixed dtypes": ({"col": torch.zeros(120, dtype=torch.int32)}, TypeError),
    "strategy": ({"temporal_strategy": "first"}, ValueError),
    "times without disjoint": ({"node_time": torch.arange(N)}, ValueError),
    "both times": ({"node_time": torch.arange(N), "edge_time": torch.arange(120), "disjoint": True}, ValueError),
    "edge times without seed times": ({"edge_time": torch.arange(120), "disjoint": True}, ValueError),
    "short times": ({"node_time": torch.arange(3), "disjoint": True}, ValueError),
    "floating times": ({"node_time": torch.rand(N), "disjoint": True}, TypeError),
    "times of seeds out of range": (
        {"seed": torch.tensor([N]), "node_time": torch.arange(N), "disjoint": True}, ValueError,
    ),
    "times too far apart": (
        {"node_time": torch.tensor([-(2**63), 2**63 - 1] * (N // 2)), "disjoint": True}, ValueError,
    ),
    "negative weight": ({"edge_weight": torch.full((120,), -1.0)}, ValueError),
    "weight that is no number": ({"edge_weight": torch.full((120,), torch.nan)}, ValueError),
    "short weight": ({"edge_weight": torch.ones(5)}, ValueError),
    "integer weight": ({"edge_weight": torch.ones(120, dtype=torch.int64)}, TypeError),
    "undirected and disjoint": ({"directed": False, "disjoint": True}, NotImplementedError),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    changed, error = BAD[name]
    rowptr, col = random_graph()
    given = {"rowptr": rowptr, "col": col, "seed": torch.tensor([1, 2]), "num_neighbors": [2]} | changed
    with pytest.raises(error):
        sampler.neighbor_sample(**given)


def test_a_graph_that_is_written_to_is_looked_at_again():
    rowptr, col = random_graph()
    sampler.neighbor_sample(rowptr, col, torch.tensor([1]), [2])
    col[0] = N
    with pytest.raises(ValueError, match="indices"):
        sampler.neighbor_sample(rowptr, col, torch.tensor([1]), [2])


@pytest.mark.parametrize("nodes", [[], [4], [9, 0, 17, 3, 23], list(range(N))[::-1]], ids=str)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_subgraph(nodes, dtype):
    rowptr, col = random_graph(dtype=dtype)
    out_rowptr, out_col, edge = sampler.subgraph(rowptr, col, torch.tensor(nodes, dtype=dtype))
    wanted = [[e for e in range(rowptr[n], rowptr[n + 1]) if int(col[e]) in nodes] for n in nodes]
    assert out_rowptr.tolist() == [0, *itertools.accumulate(map(len, wanted))]
    assert edge.tolist() == list(itertools.chain(*wanted))
    assert out_col.tolist() == [nodes.index(int(col[e])) for e in edge]
    assert sampler.subgraph(rowptr, col, torch.tensor(nodes, dtype=dtype), return_edge_id=False)[2] is None


@pytest.mark.parametrize("p, q", [(1.0, 1.0), (0.25, 1.0), (1.0, 4.0), (2.0, 0.5)])
@pytest.mark.parametrize("length", [0, 1, 6])
def test_walks_follow_edges(p, q, length):
    rowptr, col = random_graph()
    seed = torch.arange(N).repeat(3)
    torch.manual_seed(1)
    walk = sampler.random_walk(rowptr, col, seed, length, p, q)
    assert walk.shape == (3 * N, length + 1)
    assert torch.equal(walk[:, 0], seed)
    for here, there in zip(walk[:, :-1].flatten().tolist(), walk[:, 1:].flatten().tolist(), strict=True):
        neighbors = col[rowptr[here] : rowptr[here + 1]].tolist()
        assert there in neighbors if neighbors else there == here
    torch.manual_seed(1)
    assert torch.equal(walk, sampler.random_walk(rowptr, col, seed, length, p, q))


def test_large_p_keeps_walks_from_returning():
    rowptr, col = torch.tensor([0, 2, 4, 6]), torch.tensor([1, 2, 0, 2, 0, 1])  # a triangle
    walk = sampler.random_walk(rowptr, col, torch.zeros(500, dtype=torch.int64), 2, p=1e6)
    assert (walk[:, 2] != walk[:, 0]).float().mean() > 0.99


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda r, c: sampler.subgraph(r, c, torch.tensor([N])), "nodes"),
        (lambda r, c: sampler.subgraph(r, c, torch.tensor([1, 1])), "repeat"),
        (lambda r, c: sampler.random_walk(r, c, torch.tensor([-1]), 3), "start"),
        (lambda r, c: sampler.random_walk(r, c, torch.tensor([1]), -1), "length"),
        (lambda r, c: sampler.random_walk(r, c, torch.tensor([1]), 3, p=0.0), "p must"),
    ],
)
def test_bad_walks_and_subgraphs(call, message):
    with pytest.raises(ValueError, match=message):
        call(*random_graph())
