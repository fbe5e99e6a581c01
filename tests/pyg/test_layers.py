"""Accelerated layers against the ones they were, in every form of graph that PyG takes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import graphkern
from graphkern import CSR, compat
from tests.pyg_world import (
    CASES,
    F_IN,
    F_OUT,
    TOLERANCE,
    Case,
    E,
    N,
    World,
    assert_same_gradients,
    cases_of,
    gradients,
    pyg,
)

MORE = [
    *cases_of("GraphConv", (F_IN, F_OUT), [{}, {"aggr": "mean"}, {"aggr": "max"}, {"bias": False}]),
    *cases_of("GraphConv", (F_IN, F_OUT), [{}, {"aggr": "mean"}, {"aggr": "min"}], edge="weight"),
    *cases_of("GraphConv", ((F_IN, 3), F_OUT), [{}], "pair", "weight"),
    *cases_of("GraphConv", ((F_IN, 3), F_OUT), [{}], "sources"),
    *cases_of("LGConv", (), [{}, {"normalize": False}]),
    *cases_of("LGConv", (), [{}, {"normalize": False}], edge="weight"),
    *cases_of("GCNConv", (F_IN, F_OUT), [{"improved": True}, {"add_self_loops": False}]),
]
GIN = [
    Case("GINConv", (), {"train_eps": train, "aggr": aggr}, x, None)
    for x, train, aggr in (("nodes", True, "add"), ("shared", False, "mean"), ("sources", False, "max"))
]
SQUARE = [case for case in (*CASES, *MORE, *GIN) if case.x in ("nodes", "same") and case.edge in (None, "weight")]


def _build(case: Case) -> nn.Module:
    torch.manual_seed(3)
    if case.layer == "GINConv":
        mlp = nn.Sequential(nn.Linear(F_IN, 8), nn.ReLU(), nn.Linear(8, 3))
        layer = pyg.GINConv(mlp, eps=0.3, **case.kwargs)
    else:
        layer = case.build(pyg)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer.eval()


def _pair(case: Case, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, nn.Module]:
    """The layer, and an accelerated copy."""
    layer = _build(case).to(dtype)
    fused = graphkern.accelerate(copy.deepcopy(layer))
    assert list(fused.accelerated.fused) == [""]
    return fused, layer


def _assert_same(world: World, fused: nn.Module, layer: nn.Module, call, tolerance: dict) -> None:
    out, expected = call(fused), call(layer)
    torch.testing.assert_close(out, expected, **tolerance)
    found, wanted = gradients(out, fused, world.leaves), gradients(expected, layer, world.leaves)
    assert_same_gradients(found, wanted, **tolerance)


@pytest.mark.parametrize("case", [*CASES, *MORE, *GIN], ids=str)
def test_edge_index(case):
    for dtype, tolerance in TOLERANCE.items():
        world = World(case, dtype)
        fused, layer = _pair(case, dtype)
        _assert_same(world, fused, layer, world.pygs, tolerance)


def _graph(form: str, world: World):
    """The graph of the case with the case's weights in it; without parallel edges, which PyG merges there."""
    pairs, first = world.edge_index.unique(dim=1, return_inverse=True)
    weight = torch.zeros(pairs.shape[1], dtype=torch.float64).scatter(0, first, torch.rand(E, dtype=torch.float64))
    if world.case.edge is None:
        weight = torch.ones_like(weight)
    matrix = torch.sparse_coo_tensor(pairs.flip(0), weight, (N, N), is_coalesced=False).coalesce()
    if form == "SparseTensor":
        from torch_sparse import SparseTensor

        row, column = matrix.indices()
        value = None if world.case.edge is None else matrix.values()
        return SparseTensor(row=row, col=column, value=value, sparse_sizes=(N, N))
    return {"coo": matrix, "csr": matrix.to_sparse_csr(), "csc": matrix.to_sparse_csc()}[form]


@pytest.fixture(scope="module")
def _torch_sparse():
    compat.enable("torch_sparse")
    yield
    compat.disable("torch_sparse")


@pytest.mark.parametrize("form", ["SparseTensor", "coo", "csr", "csc"])
@pytest.mark.parametrize("case", SQUARE, ids=str)
@pytest.mark.usefixtures("_torch_sparse")
def test_sparse_matrix(case, form):
    world = World(case, torch.float64)
    fused, layer = _pair(case)
    graph = _graph(form, world)
    theirs = graph.to_sparse_csr() if form == "csc" else graph  # PyG knows what to do with that in some layers only
    try:
        layer(world.x, theirs)
    except (NotImplementedError, AssertionError, RuntimeError, ValueError) as error:
        with pytest.raises((type(error), ValueError)):
            fused(world.x, graph)
        return
    _assert_same(world, fused, layer, lambda a: a(world.x, graph if a is fused else theirs), TOLERANCE[torch.float64])


@pytest.mark.parametrize("case", SQUARE, ids=str)
def test_edge_index_class_and_csr(case):
    """PyG's EdgeIndex; our CSR, with values of edges in its order."""
    from torch_geometric import EdgeIndex

    world = World(case, torch.float64)
    fused, layer = _pair(case)
    expected = world.pygs(layer)
    edge = () if world.edge is None else (world.edge,)
    as_class = EdgeIndex(world.edge_index, sparse_size=(N, N))
    torch.testing.assert_close(fused(world.x, as_class, *edge), expected)
    torch.testing.assert_close(fused(world.x, world.adj, *(e[world.adj.edge_id] for e in edge)), expected)


@pytest.mark.parametrize("layer", ["GATConv", "GATv2Conv", "TransformerConv"])
def test_attention_weights(layer):
    case = Case(layer, (F_IN, F_OUT, 2), {}, "nodes", None)
    world = World(case, torch.float64)
    fused, plain = _pair(case)
    out, (edges, alpha) = world.pygs(fused, return_attention_weights=True)
    expected, (expected_edges, expected_alpha) = world.pygs(plain, return_attention_weights=True)
    torch.testing.assert_close((out, edges, alpha), (expected, expected_edges, expected_alpha))


@pytest.mark.parametrize("layer", ["GCNConv", "SAGEConv", "GraphConv"])
def test_copies_of_the_graph(layer):
    """Features [B, N, F]."""
    case = Case(layer, (F_IN, F_OUT), {}, "nodes", None)
    world = World(case, torch.float64)
    fused, plain = _pair(case)
    x = torch.randn(3, N, F_IN, dtype=torch.float64)
    torch.testing.assert_close(fused(x, world.edge_index), plain(x, world.edge_index))


def test_messages_can_be_watched_and_explained():
    """Hooks on messages see them; an explainer's mask of edges counts."""
    case = Case("SAGEConv", (F_IN, F_OUT), {}, "nodes", None)
    world = World(case, torch.float64)
    fused, plain = _pair(case)
    seen = []
    handle = fused.register_message_forward_hook(lambda layer, inputs, out: seen.append(out.shape))
    torch.testing.assert_close(world.pygs(fused), world.pygs(plain))
    assert seen == [(E, F_IN)]
    handle.remove()
    world.pygs(fused)
    assert len(seen) == 1
    from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

    for layer in (fused, plain):
        set_masks(layer, torch.linspace(-2, 2, E, dtype=torch.float64), world.edge_index)
    masked = world.pygs(fused)
    torch.testing.assert_close(masked, world.pygs(plain))
    clear_masks(fused), clear_masks(plain)
    assert not torch.allclose(masked, world.pygs(fused))


def test_dropout_of_attention_is_torchs_to_seed():
    fused = graphkern.accelerate(pyg.GATConv(F_IN, F_OUT, dropout=0.5))
    x, edge_index = torch.randn(N, F_IN), torch.randint(N, (2, E))
    torch.manual_seed(1)
    first, second = fused(x, edge_index), fused(x, edge_index)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(fused(x, edge_index), first)
    assert torch.equal(fused.eval()(x, edge_index), fused(x, edge_index))


@pytest.mark.usefixtures("_torch_sparse")
def test_integer_relations_of_a_sparse_tensor():
    from torch_sparse import SparseTensor

    case = Case("RGCNConv", (F_IN, F_OUT, 3), {}, "nodes", "type")
    world = World(case, torch.float64)
    fused, plain = _pair(case)
    graph = SparseTensor(row=world.edge_index[1], col=world.edge_index[0], value=world.edge, sparse_sizes=(N, N))
    torch.testing.assert_close(fused(world.x, graph), plain(world.x, graph))
    with pytest.raises(ValueError, match="needs edge_type"):
        fused(world.x, world.edge_index)


def test_csr_of_another_size_is_refused():
    fused = graphkern.accelerate(pyg.SAGEConv(F_IN, F_OUT))
    adj = CSR.from_edge_index(torch.randint(N, (2, E)), N, N)
    with pytest.raises(ValueError, match=r"9 destinations and 9 sources but the features are of 8 and 8"):
        fused(torch.randn(N - 1, F_IN), adj)
