"""What accelerate promises about a whole model."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref

import pytest
import torch
from torch import nn

import graphkern
from graphkern import CSR
from tests.ops.memory import peak_extra_bytes
from tests.pyg_world import pyg

N, E, F = 30, 200, 8


@pytest.fixture
def built(monkeypatch) -> list[CSR]:
    """The graphs built from edges since."""
    graphs, build = [], CSR.from_edge_index
    monkeypatch.setattr(CSR, "from_edge_index", lambda *arguments: graphs.append(build(*arguments)) or graphs[-1])
    return graphs


def _edges(num_edges: int = E) -> torch.Tensor:
    return torch.randint(N, (2, num_edges))


def test_model_stays_what_it_was():
    """Parameters, names, optimizers, hooks, isinstance; only the convolutions' class changes."""
    model = pyg.GAT(F, F, 2, heads=2)
    parameters, names = list(model.parameters()), list(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    calls = []
    model.convs[0].register_forward_hook(lambda *_: calls.append(1))
    assert graphkern.accelerate(model) is model
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert list(model.state_dict()) == names
    assert all(isinstance(conv, pyg.GATConv) for conv in model.convs)
    before = [parameter.clone() for parameter in parameters]
    model(torch.randn(N, F), _edges()).sum().backward()
    optimizer.step()
    assert calls == [1]
    assert any(not torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    plain = pyg.GAT(F, F, 2, heads=2)
    plain.load_state_dict(model.state_dict())
    model.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("carry", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_and_pickles_stay_fast(carry):
    model = graphkern.accelerate(pyg.GCN(F, F, 2))
    x, edges = torch.randn(N, F), _edges()
    other = carry(model)
    assert type(other.convs[0]) is type(model.convs[0])
    assert torch.equal(other(x, edges), model(x, edges))


def test_says_what_it_did_and_what_it_left():
    class Mine(pyg.SAGEConv):
        pass

    model = nn.ModuleDict({
        "gcn": pyg.GCNConv(F, F), "mine": Mine(F, F), "cheb": pyg.ChebConv(F, F, 2),
        "median": pyg.GATv2Conv(F, F, aggr="median"),
        "back": pyg.GATConv(F, F, flow="target_to_source"), "lazy": pyg.GATConv(-1, F), "linear": nn.Linear(F, F),
    })  # fmt: skip
    with pytest.warns(UserWarning, match="mine: left as it is: Mine: there is no fused one"):
        graphkern.accelerate(model)
    done = model.accelerated
    assert done.fused == {"gcn": "GCNConv"}
    assert done.left == {
        "mine": "Mine: there is no fused one",
        "cheb": "ChebConv: there is no fused one",
        "median": "GATv2Conv: no kernel for aggr 'median'",
        "back": "GATConv: flow is 'target_to_source'",
        "lazy": "GATConv: its input channels are not known before its first call",
    }
    assert str(done).splitlines()[0] == "gcn: GCNConv, fused"
    model["lazy"](torch.randn(N, F), _edges())
    with pytest.warns(UserWarning, match="cheb"):
        assert graphkern.accelerate(model).accelerated.fused == {"gcn": "GCNConv", "lazy": "GATConv"}


@pytest.mark.parametrize(
    "layer, reason",
    [
        (lambda: pyg.GATConv(F, F, aggr="mean"), "no kernel for aggr 'mean'"),
        (lambda: pyg.GATConv(F, F, fill_value="mul", edge_dim=2), "no kernel for fill_value 'mul'"),
        (lambda: pyg.GATv2Conv(F, F, aggr=["mean", "max"]), r"no kernel for aggr \['mean', 'max'\]"),
        (lambda: pyg.GATv2Conv(F, F, decomposed_layers=2), "decomposed_layers is above 1"),
    ],
)
def test_reasons(layer, reason):
    with pytest.warns(UserWarning, match=reason):
        assert not graphkern.accelerate(layer()).accelerated.fused


def test_model_without_message_passing_is_reported():
    with pytest.warns(UserWarning, match="no message-passing layer"):
        graphkern.accelerate(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module but is list"):
        graphkern.accelerate([])


def test_graph_is_built_once(built):
    """For both layers, every call, training and inference; anew for another graph or one that was written to."""
    model, x, edges = graphkern.accelerate(pyg.GCN(F, F, 2)), torch.randn(N, F), _edges()
    with torch.inference_mode():
        model(x, edges)
    model(x, edges).sum().backward()
    model.eval()(x, edges)
    graphkern.accelerate(pyg.GraphSAGE(F, F, 2))(x, edges)
    assert len(built) == 1
    first = model(x, edges)
    edges[0, 0] = (edges[0, 0] + 1) % N
    assert not torch.equal(model(x, edges), first)
    model(x, edges.clone())
    assert len(built) == 3


def test_kept_graph_ends_with_the_edges(built):
    model, x = graphkern.accelerate(pyg.GCN(F, F, 2)), torch.randn(N, F)
    edges, weight = _edges(), torch.rand(E)
    model(x, edges, weight)
    graph = weakref.ref(built.pop())
    del edges, weight
    gc.collect()
    assert graph() is None


def test_cached_gcn_keeps_its_first_graph_until_reset():
    layer = graphkern.accelerate(pyg.GCNConv(F, F, cached=True))
    x, edges = torch.randn(N, F), _edges()
    first = layer(x, edges)
    assert torch.equal(layer(x, _edges()), first)
    layer.reset_parameters()
    plain = pyg.GCNConv(F, F)
    plain.load_state_dict(layer.state_dict())
    other = _edges()
    torch.testing.assert_close(layer(x, other), plain(x, other))


@pytest.mark.parametrize(
    "edges, message",
    [
        (torch.zeros(3, 4, dtype=torch.long), r"edge_index must be \[2, E\] but is \[3, 4\]"),
        (torch.zeros(2, 4), "edge_index must be of integers but is torch.float32"),
        (torch.tensor([[0, N], [0, 0]]), r"source\) must be in \[0, 30\) but runs from 0 to 30"),
        (torch.tensor([[0, 0], [0, -1]]), r"destination\) must be in \[0, 30\) but runs from -1 to 0"),
        (torch.tensor([[2**32], [0]]), r"source\) must be in \[0, 30\) but runs from 4294967296"),
    ],
)
def test_bad_edges(edges, message):
    model = graphkern.accelerate(pyg.GraphSAGE(F, F, 1))
    with pytest.raises(ValueError, match=message):
        model(torch.randn(N, F), edges)


def test_bad_values_of_edges():
    layer = graphkern.accelerate(pyg.GCNConv(F, F))
    with pytest.raises(ValueError, match="values for 7 edges but the graph has 200"):
        layer(torch.randn(N, F), _edges(), torch.rand(7))
    with pytest.raises(TypeError, match="a graph must be"):
        layer(torch.randn(N, F), "edges")


def test_other_integers_will_do():
    model, x, edges = graphkern.accelerate(pyg.GCN(F, F, 2)), torch.randn(N, F), _edges()
    expected = model(x, edges)
    for dtype in (torch.int32, torch.int16, torch.uint8):
        assert torch.equal(model(x, edges.to(dtype)), expected)


def test_hetero_model():
    """to_hetero copies layers; the copies are accelerated as any other, bipartite relations included."""
    data = {"user": torch.randn(7, F), "item": torch.randn(9, F)}
    edges = {
        ("user", "buys", "item"): torch.stack([torch.randint(7, (30,)), torch.randint(9, (30,))]),
        ("item", "by", "user"): torch.stack([torch.randint(9, (30,)), torch.randint(7, (30,))]),
    }
    plain = pyg.to_hetero(pyg.GraphSAGE((F, F), F, 2), (list(data), list(edges)), debug=False)
    fused = graphkern.accelerate(copy.deepcopy(plain))
    assert len(fused.accelerated.fused) == 4
    assert not fused.accelerated.left
    for kind, out in plain(data, edges).items():
        torch.testing.assert_close(fused(data, edges)[kind], out)


def test_light_gcn():
    plain = pyg.LightGCN(N, F, 3)
    fused = graphkern.accelerate(copy.deepcopy(plain))
    assert list(fused.accelerated.fused) == ["convs.0", "convs.1", "convs.2"]
    edges, pairs = _edges(), _edges(20)
    torch.testing.assert_close(fused(edges, pairs), plain(edges, pairs))
    torch.testing.assert_close(fused.recommend(edges, k=3), plain.recommend(edges, k=3))


def test_no_tensor_of_edges_and_features():
    """One float32 tensor [E, F] would be 20 MiB."""
    num_nodes, num_edges, width = 500, 80_000, 64
    model = graphkern.accelerate(pyg.GAT(width, width, 2, heads=8))
    x, edges = torch.randn(num_nodes, width), torch.randint(num_nodes, (2, num_edges))
    _, peak = peak_extra_bytes(lambda: model(x, edges).sum().backward(), "cpu")
    assert peak < num_edges * width * 4 / 4


def test_nothing_is_warned_where_all_is_fused():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graphkern.accelerate(pyg.GraphSAGE(F, F, 2))
