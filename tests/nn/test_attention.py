"""Attention layers against their formulas, one row at a time; dropout, torch.compile, autocast, empty graphs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from graphkern import CSR
from graphkern.nn import GATConv, GATv2Conv, TransformerConv, with_self_loops

N, M, E, F_IN, F_DST, D, H, F_EDGE = 8, 6, 40, 5, 4, 3, 2, 7
LAYERS = [GATConv, GATv2Conv, TransformerConv]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=[torch.int64, torch.int32], ids=["int64", "int32"])
def adj(request) -> CSR:
    """Parallel edges, loops (two at node 2), and row 7 without edges of its own."""
    edge_index = torch.stack([torch.randint(M, (E,)), torch.randint(N - 1, (E,))])
    edge_index[:, :3] = torch.tensor([2, 2, 5])
    return CSR.from_edge_index(edge_index.to(request.param), N, M)


def edges(adj: CSR, edge_attr: Tensor, add_self_loops: bool) -> list[tuple[int, int, Tensor]]:
    """(row, column, features), loops replaced by one a node with the mean features of the edges that enter it."""
    given = list(zip(adj.row_index().tolist(), adj.indices.tolist(), edge_attr, strict=True))
    if not add_self_loops:
        return given
    kept = [edge for edge in given if edge[0] != edge[1]]
    loops = []
    for node in range(min(N, M)):
        entering = [features for row, _, features in kept if row == node]
        loops.append((node, node, sum(entering) / len(entering) if entering else torch.zeros_like(edge_attr[0])))
    return kept + loops


def score(layer, source: Tensor, destination: Tensor, features: Tensor | None) -> Tensor:
    """[H] of one edge before the softmax, from the features of its ends."""
    heads = (H, D)
    if isinstance(layer, TransformerConv):
        key = layer.lin_key(source) + (0 if features is None else layer.lin_edge(features))
        return (layer.lin_query(destination) * key).view(heads).sum(1) / D**0.5
    edge = 0 if features is None else layer.lin_edge(features).view(heads)
    if isinstance(layer, GATv2Conv):
        hidden = (layer.lin_l(source) + layer.lin_r(destination)).view(heads) + edge
        return (layer.att[0] * leaky_relu(hidden, 0.2)).sum(1)
    parts = (
        layer.lin_src(source).view(heads) * layer.att_src[0] + layer.lin_dst(destination).view(heads) * layer.att_dst[0]
    )
    return leaky_relu((parts + (0 if features is None else edge * layer.att_edge[0])).sum(1), 0.2)


@pytest.mark.parametrize("with_features", [False, True])
@pytest.mark.parametrize(
    ("layer_type", "add_self_loops"),
    [(GATConv, False), (GATConv, True), (GATv2Conv, False), (GATv2Conv, True), (TransformerConv, False)],
)
def test_formula(adj, layer_type, with_features, add_self_loops):
    options = {"edge_dim": F_EDGE} if with_features else {}
    if layer_type is not TransformerConv:
        options["add_self_loops"] = add_self_loops
    layer = layer_type((F_IN, F_DST), D, H, **options).double()
    x_src, x_dst = torch.randn(M, F_IN, dtype=torch.float64), torch.randn(N, F_DST, dtype=torch.float64)
    edge_attr = torch.randn(E, F_EDGE, dtype=torch.float64)

    expected = torch.zeros(N, H, D, dtype=torch.float64)
    value = {GATConv: "lin_src", GATv2Conv: "lin_l", TransformerConv: "lin_value"}[layer_type]
    for node in range(N):
        own = [(col, f) for row, col, f in edges(adj, edge_attr, add_self_loops) if row == node]
        if own:
            scores = [score(layer, x_src[col], x_dst[node], f if with_features else None) for col, f in own]
            values = [getattr(layer, value)(x_src[col]) for col, _ in own]
            if with_features and layer_type is TransformerConv:
                values = [v + layer.lin_edge(f) for v, (_, f) in zip(values, own, strict=True)]
            weight = torch.stack(scores).softmax(0)[:, :, None]
            expected[node] = (weight * torch.stack(values).view(-1, H, D)).sum(0)
    expected = expected.view(N, H * D)
    expected = expected + (layer.lin_skip(x_dst) if layer_type is TransformerConv else layer.bias)

    arguments = ((x_src, x_dst), adj, edge_attr) if with_features else ((x_src, x_dst), adj)
    torch.testing.assert_close(layer(*arguments), expected)
    out, alpha = layer(*arguments, return_attention_weights=True)
    torch.testing.assert_close(out, expected)
    graph = with_self_loops(adj) if add_self_loops else adj
    sums = torch.zeros(N, H, dtype=torch.float64).index_add(0, graph.row_index(), alpha)
    torch.testing.assert_close(sums, (graph.degree() > 0).double()[:, None].expand(N, H))


@pytest.mark.parametrize("layer_type", LAYERS)
def test_gradients(layer_type):
    graph = CSR.from_edge_index(torch.tensor([[0, 1, 1, 2, 0], [0, 0, 0, 1, 1]]), 3, 3)
    layer = layer_type(2, 2, 2, edge_dim=2).double()
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    edge_attr = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, edge_attr: layer(x, graph, edge_attr), (x, edge_attr))


@pytest.mark.parametrize("weights", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("layer_type", LAYERS)
def test_dropout(layer_type, weights):
    """Drawn anew at each call, from torch's default generator, in training only; right on average."""
    graph = CSR.from_edge_index(torch.randint(N, (2, E)), N, N)
    layer, x = layer_type(F_IN, D, H, dropout=0.3), torch.randn(N, F_IN)

    def run() -> Tensor:
        return layer(x, graph, return_attention_weights=True)[0] if weights else layer(x, graph)

    torch.manual_seed(5)
    draws = [run() for _ in range(200)]
    assert not torch.equal(draws[0], draws[1])
    torch.manual_seed(5)
    assert torch.equal(draws[0], run())
    assert torch.equal(draws[1], run())
    expected = layer.eval()(x, graph)
    assert torch.equal(expected, layer(x, graph))
    deviation, mean = torch.std_mean(torch.stack(draws), 0)
    assert ((mean - expected).abs() < 5 * deviation / 200**0.5 + 1e-6).all()


@pytest.mark.parametrize("with_features", [False, True])
@pytest.mark.parametrize("layer_type", LAYERS)
def test_compile(layer_type, with_features):
    """No graph break, once the graph has what layers derive from it."""
    torch._dynamo.reset()
    graph = CSR.from_edge_index(torch.randint(N, (2, E)), N, N)
    layer = layer_type(F_IN, D, H, **({"edge_dim": F_EDGE} if with_features else {}))
    x = torch.randn(N, F_IN, requires_grad=True)
    arguments = (x, graph, torch.randn(E, F_EDGE)) if with_features else (x, graph)
    expected = layer(*arguments)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    out = torch.compile(layer, fullgraph=True, backend="aot_eager")(*arguments)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(torch.autograd.grad(out.square().sum(), x)[0], gradient)


def test_dropout_under_compile():
    torch._dynamo.reset()
    graph = CSR.from_edge_index(torch.randint(N, (2, E)), N, N)
    layer, x = GATConv(F_IN, D, H, dropout=0.5), torch.randn(N, F_IN)
    compiled = torch.compile(layer, backend="aot_eager")
    torch.manual_seed(5)
    draws = [compiled(x, graph) for _ in range(3)]
    torch.manual_seed(5)
    for draw in draws:
        torch.testing.assert_close(draw, layer(x, graph))
    assert not torch.equal(draws[1], draws[2])


@pytest.mark.parametrize("weights", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("layer_type", LAYERS)
def test_autocast(layer_type, weights):
    graph = CSR.from_edge_index(torch.randint(N, (2, E)), N, N)
    layer, x, edge_attr = layer_type(F_IN, D, H, edge_dim=F_EDGE), torch.randn(N, F_IN), torch.randn(E, F_EDGE)
    expected = layer(x, graph, edge_attr)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x, graph, edge_attr, return_attention_weights=weights)
    out = out[0] if weights else out
    out.sum().backward()
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("layer_type", LAYERS)
def test_graph_without_edges(layer_type):
    graph = CSR.from_edge_index(torch.empty(2, 0, dtype=torch.int64), N, M)
    layer = layer_type((F_IN, F_DST), D, H, edge_dim=F_EDGE)
    x = torch.randn(M, F_IN), torch.randn(N, F_DST)
    out = layer(x, graph, torch.empty(0, F_EDGE))
    out.sum().backward()
    own = {GATConv: "lin_src", GATv2Conv: "lin_l"}
    if layer_type is TransformerConv:
        expected = layer.lin_skip(x[1])
    else:  # the loops
        expected = torch.zeros(N, H * D)
        expected[:M] = getattr(layer, own[layer_type])(x[0])
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("layer_type", LAYERS)
def test_bad_arguments(layer_type):
    graph = CSR.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 2, 2)
    x = torch.ones(2, F_IN)
    with pytest.raises(ValueError, match="lazy layers are not supported"):
        layer_type((F_IN, -1), D)
    with pytest.raises(ValueError, match="edge_attr needs a layer with edge_dim"):
        layer_type(F_IN, D)(x, graph, torch.ones(2, F_EDGE))
    with pytest.raises(ValueError, match=r"edge_attr must be \[2, 7\] but is \[3, 7\]"):
        layer_type(F_IN, D, edge_dim=F_EDGE)(x, graph, torch.ones(3, F_EDGE))
    if layer_type is TransformerConv:
        with pytest.raises(ValueError, match="a layer with edge_dim needs edge_attr"):
            layer_type(F_IN, D, edge_dim=F_EDGE)(x, graph)
    else:
        with pytest.raises(NotImplementedError, match="'mul'"):
            layer_type(F_IN, D, edge_dim=F_EDGE, fill_value="mul")(x, graph, torch.ones(2, F_EDGE))
