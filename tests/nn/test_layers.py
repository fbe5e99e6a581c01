"""Layers against dense formulas: weighted multigraphs with loops, bipartite graphs, gradients, names of parameters."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from graphkern import CSR
from graphkern.nn import GATConv, GATv2Conv, GCNConv, GINConv, LightGCN, RGCNConv, SAGEConv, TransformerConv

N, E, F_IN, F_OUT = 9, 40, 5, 4


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def adj() -> CSR:
    """Parallel edges, two loops at node 2, one at node 5, and node 8 without any edge."""
    edge_index = torch.randint(N - 1, (2, E))
    edge_index[0, edge_index[0] == edge_index[1]] += 1
    edge_index[:, :3] = torch.tensor([2, 2, 5])
    edge_index[0] %= N - 1
    return CSR.from_edge_index(edge_index, N, N)


def dense(adj: CSR, weight: Tensor | None = None) -> Tensor:
    weight = torch.ones(adj.num_edges, dtype=torch.float64) if weight is None else weight
    return torch.zeros(adj.num_rows, adj.num_cols, dtype=torch.float64).index_put(
        (adj.row_index(), adj.indices), weight, accumulate=True
    )


def symmetric(matrix: Tensor) -> Tensor:
    degree = matrix.sum(1)
    scale = torch.where(degree > 0, degree.clamp(min=1e-30).rsqrt(), 0)
    return scale[:, None] * matrix * scale


def with_loops(adj: CSR, weight: Tensor, fill: float) -> Tensor:
    """The matrix whose diagonal is a node's last loop, or fill."""
    matrix = dense(adj, weight)
    diagonal = [fill] * adj.num_rows
    for row, col, value in zip(adj.row_index().tolist(), adj.indices.tolist(), weight.tolist(), strict=True):
        if row == col:
            diagonal[row] = value
    matrix.diagonal().copy_(torch.tensor(diagonal))
    return matrix


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"improved": True}, {"add_self_loops": False}, {"normalize": False}, {"bias": False}, {"cached": True}],
    ids=str,
)
def test_gcn_conv(adj, options, weighted):
    layer = GCNConv(F_IN, F_OUT, **options).double()
    x, weight = torch.randn(N, F_IN, dtype=torch.float64), torch.rand(E, dtype=torch.float64)
    used = weight if weighted else torch.ones(E, dtype=torch.float64)
    if options.get("add_self_loops", options.get("normalize", True)):
        matrix = with_loops(adj, used, 2.0 if options.get("improved") else 1.0)
    else:
        matrix = dense(adj, used)
    if options.get("normalize", True):
        matrix = symmetric(matrix)
    expected = matrix @ x @ layer.lin.weight.T
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias)
        expected = expected + layer.bias
    for _ in range(2):
        torch.testing.assert_close(layer(x, adj, weight if weighted else None), expected)


def test_gcn_conv_gradients(adj):
    layer = GCNConv(F_IN, F_OUT).double()
    x = torch.randn(N, F_IN, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(E, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: layer(x, adj, weight), (x, weight))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_gcn_conv_under_autocast(adj, weighted, normalize):
    layer, x = GCNConv(F_IN, F_OUT, normalize=normalize), torch.randn(N, F_IN)
    weight = torch.rand(E) if weighted else None
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x, adj, weight)
    torch.testing.assert_close(out.float(), layer(x, adj, weight), rtol=0.02, atol=0.05)


def test_gcn_conv_cache_is_for_one_graph(adj):
    layer = GCNConv(F_IN, F_OUT, cached=True)
    x, other = torch.randn(N, F_IN), CSR.from_edge_index(torch.tensor([[0, 1], [1, 0]]), N, N)
    layer(x, adj)
    cached = layer(x, other)
    layer.reset_parameters()
    fresh = GCNConv(F_IN, F_OUT)
    fresh.load_state_dict(layer.state_dict())
    assert not torch.equal(cached, fresh(x, other))  # new weights
    torch.testing.assert_close(layer(x, other), fresh(x, other), rtol=0, atol=0)


@pytest.mark.parametrize("aggr", ["mean", "sum", "add", "max", "min"])
@pytest.mark.parametrize(
    "options", [{}, {"normalize": True}, {"root_weight": False}, {"project": True}, {"bias": False}], ids=str
)
def test_sage_conv(adj, aggr, options):
    layer = SAGEConv(F_IN, F_OUT, aggr, **options).double()
    x = torch.randn(N, F_IN, dtype=torch.float64)
    source = layer.lin(x).relu() if layer.lin is not None else x
    rows = []
    for row in range(N):
        neighbors = source[adj.indices[adj.indptr[row] : adj.indptr[row + 1]]]
        if aggr in ("max", "min"):
            rows.append(getattr(neighbors, f"a{aggr}")(0) if len(neighbors) else torch.zeros_like(source[0]))
        else:
            rows.append(neighbors.sum(0) / (max(len(neighbors), 1) if aggr == "mean" else 1))
    expected = layer.lin_l(torch.stack(rows))
    if layer.lin_r is not None:
        expected = expected + layer.lin_r(x)
    if options.get("normalize"):
        expected = normalize(expected, dim=-1)
    torch.testing.assert_close(layer(x, adj), expected)


def test_sage_conv_between_two_kinds_of_nodes():
    adj = CSR.from_edge_index(torch.stack([torch.randint(7, (E,)), torch.randint(N, (E,))]), N, 7)
    layer = SAGEConv((F_IN, 3), F_OUT, aggr="sum").double()
    source, destination = torch.randn(7, F_IN, dtype=torch.float64), torch.randn(N, 3, dtype=torch.float64)
    neighbors = layer.lin_l(dense(adj) @ source)
    torch.testing.assert_close(layer((source, destination), adj), neighbors + layer.lin_r(destination))
    torch.testing.assert_close(layer((source, None), adj), neighbors)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [None, 0.3, torch.tensor([0.1, 0.2, 0.4, 0.8])], ids=["none", "float", "tensor"])
@pytest.mark.parametrize("normalized", [True, False])
def test_light_gcn(adj, alpha, normalized, weighted):
    model = LightGCN(N, F_IN, 3, alpha, normalize=normalized).double()
    weight = torch.rand(E, dtype=torch.float64) if weighted else None
    matrix = symmetric(dense(adj, weight)) if normalized else dense(adj, weight)
    alphas = (
        alpha.double() if isinstance(alpha, Tensor) else torch.full((4,), 0.25 if alpha is None else alpha).double()
    )
    x = model.embedding.weight
    expected = sum(alphas[layer] * torch.linalg.matrix_power(matrix, layer) @ x for layer in range(4))
    torch.testing.assert_close(model.get_embedding(adj, weight), expected)

    scores = expected @ expected.T
    torch.testing.assert_close(model(adj, edge_weight=weight), scores[adj.row_index(), adj.indices])
    pairs = torch.tensor([[0, 8, 3], [1, 1, 3]])
    torch.testing.assert_close(model(adj, pairs, weight), scores[pairs[0], pairs[1]])

    other = torch.randn(N, F_IN, dtype=torch.float64)
    expected = sum(alphas[layer] * torch.linalg.matrix_power(matrix, layer) @ other for layer in range(4))
    torch.testing.assert_close(model.propagate(other, adj, weight), expected)


def test_light_gcn_gradients(adj):
    model = LightGCN(N, 2, 2).double()
    x = torch.randn(N, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(E, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: model.propagate(x, adj, weight), (x, weight))


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (GCNConv(5, 4), {"lin.weight": (4, 5), "bias": (4,)}),
        (GCNConv(5, 4, bias=False), {"lin.weight": (4, 5)}),
        (SAGEConv((5, 3), 4), {"lin_l.weight": (4, 5), "lin_l.bias": (4,), "lin_r.weight": (4, 3)}),
        (
            SAGEConv(5, 4, root_weight=False, project=True, bias=False),
            {"lin.weight": (5, 5), "lin.bias": (5,), "lin_l.weight": (4, 5)},
        ),
        (
            GATConv(5, 4, 2, edge_dim=3, residual=True),
            {"lin.weight": (8, 5), "lin_edge.weight": (8, 3), "res.weight": (8, 5), "bias": (8,)}
            | {f"att_{part}": (1, 2, 4) for part in ("src", "dst", "edge")},
        ),
        (
            GATConv((5, 3), 4, 2, concat=False),
            {
                "lin_src.weight": (8, 5),
                "lin_dst.weight": (8, 3),
                "att_src": (1, 2, 4),
                "att_dst": (1, 2, 4),
                "bias": (4,),
            },
        ),
        (
            GATv2Conv(5, 4, 2, bias=False, share_weights=True),
            {"lin_l.weight": (8, 5), "lin_r.weight": (8, 5), "att": (1, 2, 4)},
        ),
        (
            TransformerConv((5, 3), 4, 2, beta=True, edge_dim=6, bias=False),
            {
                "lin_key.weight": (8, 5),
                "lin_query.weight": (8, 3),
                "lin_value.weight": (8, 5),
                "lin_edge.weight": (8, 6),
            }
            | {"lin_skip.weight": (8, 3), "lin_beta.weight": (1, 24)},
        ),
        (RGCNConv((5, 3), 4, 6), {"weight": (6, 5, 4), "root": (3, 4), "bias": (4,)}),
        (
            RGCNConv(5, 4, 6, num_bases=2, root_weight=False, bias=False),
            {"weight": (2, 5, 4), "comp": (6, 2)},
        ),
        (RGCNConv(6, 4, 3, num_blocks=2), {"weight": (3, 2, 3, 2), "root": (6, 4), "bias": (4,)}),
        (GINConv(torch.nn.Linear(5, 4)), {"nn.weight": (4, 5), "nn.bias": (4,), "eps": (1,)}),
        (LightGCN(6, 2, 3), {"alpha": (4,), "embedding.weight": (6, 2)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_state_dict_has_the_names_and_shapes_of_pyg(layer, names):
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == names


def test_what_the_layers_do_not_do_is_refused():
    rectangular = CSR.from_edge_index(torch.tensor([[0], [0]]), 2, 3)
    with pytest.raises(ValueError, match="adj must be square but is 2 x 3"):
        GCNConv(F_IN, F_OUT)(torch.ones(3, F_IN), rectangular)
    with pytest.raises(ValueError, match="add_self_loops needs normalize"):
        GCNConv(F_IN, F_OUT, add_self_loops=True, normalize=False)
    for layer in (GCNConv, SAGEConv):
        with pytest.raises(ValueError, match="lazy layers are not supported"):
            layer(-1, F_OUT)
    with pytest.raises(NotImplementedError, match="'lstm'"):
        SAGEConv(F_IN, F_OUT, aggr="lstm")
    with pytest.raises(ValueError, match=r"alpha must be \[3\] but is \[2\]"):
        LightGCN(N, F_IN, 2, torch.ones(2))
