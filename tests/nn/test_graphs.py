"""Graphs derived from a graph, and the layers that need no attention: R-GCN and GIN against their formulas."""

from __future__ import annotations

import pytest
import torch

from graphkern import CSR
from graphkern.nn import GATConv, GCNConv, GINConv, RGCNConv, with_self_loops
from graphkern.nn.graphs import by_relation, looped_features, sum_of_ends

N, M, E, R, F_IN, F_DST, F_OUT = 8, 6, 40, 3, 4, 5, 6


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=[(N, M), (M, N), (0, 0)], ids=["tall", "wide", "empty"])
def adj(request) -> CSR:
    num_rows, num_cols = request.param
    count = E if num_rows else 0
    edge_index = torch.stack([torch.randint(max(num_cols, 1), (count,)), torch.randint(max(num_rows - 1, 1), (count,))])
    edge_index[:, :3] = 2
    return CSR.from_edge_index(edge_index, num_rows, num_cols)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_with_self_loops(adj, dtype):
    adj = adj.to(dtype=dtype)
    looped = with_self_loops(adj)
    assert with_self_loops(adj) is looped
    assert (looped.num_rows, looped.num_cols, looped.dtype) == (adj.num_rows, adj.num_cols, dtype)
    row = adj.row_index()
    expected = [(r, c, e) for e, (r, c) in enumerate(zip(row.tolist(), adj.indices.tolist(), strict=True)) if r != c]
    expected += [(i, i, adj.num_edges + i) for i in range(min(adj.num_rows, adj.num_cols))]
    triples = zip(looped.row_index().tolist(), looped.indices.tolist(), looped.edge_id.tolist(), strict=True)
    assert list(triples) == sorted(expected, key=lambda edge: (edge[0], edge[2]))


@pytest.mark.parametrize("fill_value", [2.0, "add", "mean", "max", torch.tensor([1.0, 2.0])], ids=str)
def test_looped_features(adj, fill_value):
    features = torch.randn(adj.num_edges, 2)
    found = looped_features(adj, features, fill_value)
    looped, row = with_self_loops(adj), adj.row_index()
    for e, edge in enumerate(looped.edge_id.tolist()):
        if edge < adj.num_edges:
            expected = features[edge]
        elif isinstance(fill_value, str):
            node = edge - adj.num_edges
            entering = features[(row == node) & (adj.indices != node)]
            reduced = {"add": entering.sum(0), "mean": entering.mean(0)}
            expected = reduced.get(fill_value, entering.amax(0)) if len(entering) else torch.zeros(2)
        else:
            expected = torch.as_tensor(fill_value).expand(2)
        torch.testing.assert_close(found[e], expected)


def test_sum_of_ends(adj):
    x_src, x_dst = torch.randn(adj.num_cols, 3), torch.randn(adj.num_rows, 3)
    expected = x_src[adj.indices] + x_dst[adj.row_index()]
    torch.testing.assert_close(sum_of_ends(adj, x_src, x_dst), expected)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_by_relation(adj, dtype):
    edge_type = torch.randint(R, (adj.num_edges,))
    adj = adj.to(dtype=dtype)
    relations = by_relation(adj, edge_type, R)
    assert by_relation(adj, edge_type, R) is relations
    assert by_relation(adj, edge_type.clone(), R) is not relations
    groups: dict[tuple[int, int], list[int]] = {}
    for relation, row, col in zip(edge_type.tolist(), adj.row_index().tolist(), adj.indices.tolist(), strict=True):
        groups.setdefault((relation, row), []).append(col)
    keys = sorted(groups)
    assert relations.groups.indices.tolist() == [col for key in keys for col in groups[key]]
    assert relations.groups.degree().tolist() == [len(groups[key]) for key in keys]
    assert relations.indptr.diff().tolist() == [sum(key[0] == relation for key in keys) for relation in range(R)]
    rows = zip(relations.rows.row_index().tolist(), relations.rows.indices.tolist(), strict=True)
    assert sorted((group, row) for row, group in rows) == [(group, key[1]) for group, key in enumerate(keys)]


def test_relations_out_of_range(adj):
    with pytest.raises(TypeError, match="edge_type must be int32 or int64"):
        by_relation(adj, torch.zeros(adj.num_edges), R)
    with pytest.raises(ValueError, match="edge_type must be"):
        by_relation(adj, torch.zeros(adj.num_edges + 1, dtype=torch.int64), R)
    if adj.num_edges:
        with pytest.raises(ValueError, match=r"edge_type must be in \[0, 3\) but runs from 3 to 3"):
            by_relation(adj, torch.full((adj.num_edges,), R), R)


@pytest.mark.parametrize("layer", [GATConv(F_IN, F_OUT), GCNConv(F_IN, F_OUT)], ids=["gat", "gcn"])
def test_what_an_evaluation_built_serves_training(layer):
    graph = CSR.from_edge_index(torch.randint(N, (2, E)), N, N)
    x = torch.randn(N, F_IN)
    with torch.inference_mode():
        expected = layer(x, graph)
    out = layer(x, graph)
    out.sum().backward()
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("aggr", ["mean", "sum", "max", "min"])
@pytest.mark.parametrize("options", [{}, {"num_bases": 2}, {"num_blocks": 2}, {"root_weight": False}], ids=str)
def test_rgcn_conv(options, aggr):
    graph = CSR.from_edge_index(torch.stack([torch.randint(M, (E,)), torch.randint(N - 1, (E,))]), N, M)
    edge_type = torch.randint(R, (E,))
    layer = RGCNConv((F_IN, F_DST), F_OUT, R, aggr=aggr, **options).double()
    x_src, x_dst = torch.randn(M, F_IN, dtype=torch.float64), torch.randn(N, F_DST, dtype=torch.float64)
    weight = layer.weight
    if "num_bases" in options:
        weight = torch.einsum("rb,bio->rio", layer.comp, weight)
    elif "num_blocks" in options:
        weight = torch.stack([torch.block_diag(*blocks) for blocks in weight])
    expected = torch.zeros(N, F_OUT, dtype=torch.float64) if layer.root is None else x_dst @ layer.root
    reduce = {
        "mean": lambda t: t.mean(0),
        "sum": lambda t: t.sum(0),
        "max": lambda t: t.amax(0),
        "min": lambda t: t.amin(0),
    }
    for relation in range(R):
        for node in range(N):
            chosen = graph.indices[(graph.row_index() == node) & (edge_type == relation)]
            if len(chosen):
                update = torch.zeros_like(expected)
                update[node] = reduce[aggr](x_src[chosen]) @ weight[relation]
                expected = expected + update
    torch.testing.assert_close(layer((x_src, x_dst), graph, edge_type), expected + layer.bias)


def test_rgcn_conv_takes_node_numbers():
    """A node's number stands for its one-hot features; int32 graphs too."""
    graph = CSR.from_edge_index(torch.randint(N, (2, E), dtype=torch.int32), N, N)
    edge_type = torch.randint(R, (E,), dtype=torch.int32)
    layer = RGCNConv(N, F_OUT, R).double()
    number = torch.randperm(N)
    one_hot = torch.eye(N, dtype=torch.float64)
    torch.testing.assert_close(layer(number, graph, edge_type), layer(one_hot[number], graph, edge_type))
    torch.testing.assert_close(layer(None, graph, edge_type), layer(one_hot, graph, edge_type))
    torch.testing.assert_close(
        layer((number, one_hot), graph, edge_type), layer((one_hot[number], one_hot), graph, edge_type)
    )


def test_rgcn_conv_gradients_and_compile():
    torch._dynamo.reset()
    graph = CSR.from_edge_index(torch.randint(N, (2, E)), N, N)
    edge_type = torch.randint(R, (E,))
    layer = RGCNConv(F_IN, F_OUT, R, num_blocks=2).double()
    x = torch.randn(N, F_IN, dtype=torch.float64, requires_grad=True)
    parameters = tuple(layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: layer(x, graph, edge_type), (x, *parameters))
    out = torch.compile(layer, fullgraph=True, backend="aot_eager")(x, graph, edge_type)
    torch.testing.assert_close(out, layer(x, graph, edge_type))
    out.sum().backward()


def test_rgcn_conv_refuses():
    graph = CSR.from_edge_index(torch.zeros(2, 1, dtype=torch.int64), 1, 1)
    with pytest.raises(ValueError, match="num_bases and num_blocks exclude each other"):
        RGCNConv(4, 4, R, num_bases=2, num_blocks=2)
    with pytest.raises(ValueError, match="num_blocks 3 must divide the channels 4 and 6"):
        RGCNConv(4, 6, R, num_blocks=3)
    with pytest.raises(NotImplementedError, match="'median'"):
        RGCNConv(4, 6, R, aggr="median")
    with pytest.raises(ValueError, match="num_blocks needs floating x"):
        RGCNConv(4, 4, R, num_blocks=2)(None, graph, torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_gin_conv(eps):
    graph = CSR.from_edge_index(torch.stack([torch.randint(M, (E,)), torch.randint(N, (E,))]), N, M)
    layer = GINConv(torch.nn.Linear(F_IN, F_OUT), eps, train_eps=True).double()
    x_src, x_dst = torch.randn(M, F_IN, dtype=torch.float64), torch.randn(N, F_IN, dtype=torch.float64)
    counts = torch.zeros(N, M, dtype=torch.float64).index_put(
        (graph.row_index(), graph.indices), torch.ones(E, dtype=torch.float64), accumulate=True
    )
    torch.testing.assert_close(layer((x_src, x_dst), graph), layer.nn((1 + eps) * x_dst + counts @ x_src))
    torch.testing.assert_close(layer((x_src, None), graph), layer.nn(counts @ x_src))
    layer((x_src, x_dst), graph).sum().backward()
    assert layer.eps.grad is not None
    assert "eps" in dict(GINConv(torch.nn.ReLU()).named_buffers())
