"""Layers against PyG's: outputs, gradients, parameter names, initial values, attention weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import graphkern.nn
from graphkern import CSR

pyg = pytest.importorskip("torch_geometric.nn", reason="PyG is the oracle here: pip install torch_geometric==2.8.*")

N, M, E, F_IN, F_DST, F_OUT, F_EDGE, R = 9, 7, 50, 6, 3, 4, 5, 3
TOLERANCE = {torch.float32: {"rtol": 1e-5, "atol": 1e-5}, torch.float64: {"rtol": 1e-9, "atol": 1e-10}}


class Case(NamedTuple):
    """A layer, its arguments, and what it runs on.

    x: "nodes" [N, F_IN]; "pair" of [M, F_IN] and [N, F_DST]; "same" a pair with [N, F_IN] for both; "sources" a pair of
    [M, F_IN] and None; "shared" a pair of [M, F_IN] and [N, F_IN]; "numbers" integers; "nothing" None.
    edge: what comes third: None, "weight" [E], "features" [E, F_EDGE], "type" [E].
    """

    layer: str
    args: tuple
    kwargs: dict[str, Any]
    x: str
    edge: str | None

    def __str__(self) -> str:
        options = "-".join(f"{name}={value}" for name, value in self.kwargs.items())
        return "-".join(part for part in (self.layer, self.x, self.edge, options) if part)

    def build(self, package):
        return getattr(package, self.layer)(*self.args, **self.kwargs)


def _cases(layer: str, args: tuple, options: list[dict], x: str = "nodes", edge: str | None = None) -> list[Case]:
    return [Case(layer, args, kwargs, x, edge) for kwargs in options]


def _attention(layer: str) -> list[Case]:
    one, two, bipartite = (F_IN, F_OUT), (F_IN, F_OUT, 2), ((F_IN, F_DST), F_OUT, 2)
    options = [{}, {"concat": False}, {"dropout": 0.5}, {"bias": False}]
    own = {
        "GATConv": [{"negative_slope": 0.5}, {"add_self_loops": False}, {"residual": True}],
        "GATv2Conv": [{"share_weights": True}, {"negative_slope": 0.5}, {"add_self_loops": False}, {"residual": True}],
        "TransformerConv": [{"beta": True}, {"root_weight": False}, {"root_weight": False, "beta": True}],
    }[layer]
    cases = _cases(layer, one, [{}]) + _cases(layer, two, options + own)
    cases += _cases(
        layer,
        bipartite,
        [{}, {"concat": False, **own[-1]}, {**own[0], "bias": False}][: 2 + ("2" not in layer)],
        "pair",
    )
    cases += _cases(layer, two, [{}, own[-1]], "same")
    with_edges = [{"edge_dim": F_EDGE}, {"edge_dim": F_EDGE, "concat": False, **own[-1]}]
    if layer == "TransformerConv":
        cases += _cases(layer, bipartite, with_edges, "pair", "features")
    else:
        # PyG has no reduced loop features for more rows than columns.
        cases += _cases(layer, bipartite, [{"fill_value": 0.5} | options for options in with_edges], "pair", "features")
        with_edges += [{"edge_dim": F_EDGE, "fill_value": fill} for fill in (0.5, "add", "sum", "max", "min")]
        with_edges += [{"edge_dim": F_EDGE, "fill_value": torch.arange(F_EDGE) / 3}]
        cases += _cases(layer, two, [{"edge_dim": F_EDGE}, {"edge_dim": F_EDGE, "add_self_loops": False}])
        cases += _cases(layer, two, [{"edge_dim": 1}], edge="weight")
    return cases + _cases(layer, two, with_edges, edge="features")


def _relational() -> list[Case]:
    args = (F_IN, F_OUT, R)
    options: list[dict] = [
        {},
        {"num_bases": 2},
        {"num_blocks": 2},
        {"root_weight": False},
        {"bias": False},
        {"is_sorted": True},
    ]
    options += [{"aggr": aggr} for aggr in ("add", "sum", "max", "min")]
    cases = _cases("RGCNConv", args, [*options, {"num_blocks": 2, "aggr": "max"}], edge="type")
    cases += _cases("RGCNConv", ((F_IN, F_DST), F_OUT, R), options[:4], "pair", "type")
    for x in ("numbers", "nothing"):
        options = [{}, {"num_bases": 2}, {"root_weight": False}, {"aggr": "add"}, {"aggr": "max"}]
        cases += _cases("RGCNConv", (N, F_OUT, R), options, x, "type")
    return cases


CASES = [
    *_cases(
        "GCNConv",
        (F_IN, F_OUT),
        [{}, {"add_self_loops": False}, {"normalize": False}, {"bias": False}],
    ),
    *_cases("GCNConv", (F_IN, F_OUT), [{}, {"improved": True}, {"normalize": False}], edge="weight"),
    *_cases("SAGEConv", (F_IN, F_OUT), [{"aggr": aggr} for aggr in ("mean", "sum", "add", "max", "min")]),
    *_cases(
        "SAGEConv", (F_IN, F_OUT), [{"normalize": True}, {"root_weight": False}, {"project": True}, {"bias": False}]
    ),
    *_cases("SAGEConv", ((F_IN, F_DST), F_OUT), [{}, {"aggr": "max"}, {"project": True}], "pair"),
    *_cases("SAGEConv", ((F_IN, F_DST), F_OUT), [{}], "sources"),
    *_attention("GATConv"),
    *_cases("GATConv", (F_IN, F_OUT, 2), [{}, {"residual": True}], "shared"),
    *_cases(
        "GATConv",
        ((F_IN, F_DST), F_OUT, 2),
        [{"add_self_loops": False, "residual": True}, {"edge_dim": F_EDGE}],
        "sources",
    ),
    *_cases("GATConv", ((F_IN, F_DST), F_OUT, 2), [{"edge_dim": F_EDGE, "fill_value": 0.5}], "sources", "features"),
    *_attention("GATv2Conv"),
    *_cases("GATv2Conv", (F_IN, F_OUT, 2), [{"share_weights": True}], "shared"),
    *_attention("TransformerConv"),
    *_relational(),
]


class World:
    """The same inputs for both packages: a multigraph with loops and an empty row, edges in any order."""

    def __init__(self, case: Case, dtype: torch.dtype) -> None:
        torch.manual_seed(1)
        self.case = case
        num_sources = M if case.x in ("pair", "sources", "shared") else N
        self.size = (num_sources, N)
        self.edge_index = torch.stack([torch.randint(num_sources, (E,)), torch.randint(N - 1, (E,))])
        self.edge_index[0] += self.edge_index[0] == self.edge_index[1]
        self.edge_index[0] %= num_sources
        # Of several loops at one node PyG's GCNConv takes the last, but gives its gradient to all.
        self.edge_index[:, 5:8] = torch.tensor([2, 3, 5] if case.layer == "GCNConv" else [2, 2, 5])
        self.adj = CSR.from_edge_index(self.edge_index, N, num_sources)
        x, x_src = torch.randn(N, F_IN, dtype=dtype), torch.randn(num_sources, F_IN, dtype=dtype)
        self.x = {
            "nodes": x,
            "same": (x, x),
            "pair": (x_src, torch.randn(N, F_DST, dtype=dtype)),
            "shared": (x_src, x),
            "sources": (x_src, None),
            "numbers": torch.randint(N, (N,)),
            "nothing": None,
        }[case.x]
        self.edge = {
            None: None,
            "weight": torch.rand(E, dtype=dtype),
            "features": torch.randn(E, F_EDGE, dtype=dtype),
            "type": torch.randint(R, (E,)),
        }[case.edge]
        self.leaves = [t for t in (*(self.x if isinstance(self.x, tuple) else (self.x,)), self.edge) if t is not None]
        self.leaves = [t.requires_grad_() for t in self.leaves if t.is_floating_point()]

    def ours(self, layer, **kwargs):
        edge = () if self.edge is None else (self.edge[self.adj.edge_id],)
        return layer(self.x, self.adj, *edge, **kwargs)

    def pygs(self, layer, **kwargs):
        edge = () if self.edge is None else (self.edge,)
        if self.case.x == "sources":
            kwargs["size"] = self.size
        return layer(self.x, self.edge_index, *edge, **kwargs)


def _layers(case: Case):
    """A layer of each package, with the same parameters; initial biases are not zero here."""
    torch.manual_seed(3)
    ours = case.build(graphkern.nn)
    torch.manual_seed(3)
    theirs = case.build(pyg)
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours.eval(), theirs.eval()


def _gradients(out: Tensor, layer, leaves: list[Tensor]) -> dict[str, Tensor | None]:
    inputs = {f"input {i}": leaf for i, leaf in enumerate(leaves)} | dict(layer.named_parameters())
    probe = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return dict(zip(inputs, torch.autograd.grad((out * probe).sum(), inputs.values(), allow_unused=True), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_initial_values_outputs_and_gradients(case):
    """The same seed gives the same parameters; each loads the other's state_dict; float32 agrees to 1e-5."""
    ours, theirs = _layers(case)
    for dtype, tolerance in TOLERANCE.items():
        world = World(case, dtype)
        ours.to(dtype), theirs.to(dtype)
        out, expected = world.ours(ours), world.pygs(theirs)
        torch.testing.assert_close(out, expected, **tolerance)
        found, gradients = _gradients(out, ours, world.leaves), _gradients(expected, theirs, world.leaves)
        assert found.keys() == gradients.keys()
        for name, gradient in gradients.items():
            if gradient is None or found[name] is None:  # what takes no part has a gradient of zeros or none
                assert all(grad is None or not grad.any() for grad in (found[name], gradient)), name
            else:
                torch.testing.assert_close(
                    found[name], gradient, **tolerance, msg=lambda text, name=name: f"{name}: {text}"
                )


@pytest.mark.parametrize("aggr", ["add", "mean", "max"])
@pytest.mark.parametrize("train_eps", [False, True])
@pytest.mark.parametrize("x", ["nodes", "shared", "sources"])
def test_gin_conv(x, train_eps, aggr):
    def build(package):
        mlp = torch.nn.Sequential(
            torch.nn.Linear(F_IN, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
        )
        return package.GINConv(mlp, eps=0.3, train_eps=train_eps, aggr=aggr).double()

    world = World(Case("GINConv", (), {}, x, None), torch.float64)
    torch.manual_seed(3)
    ours = build(graphkern.nn)
    torch.manual_seed(3)
    theirs = build(pyg)
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    out, expected = world.ours(ours), world.pygs(theirs)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(_gradients(out, ours, world.leaves), _gradients(expected, theirs, world.leaves))


ATTENTION = [
    case for case in CASES if case.layer in ("GATConv", "GATv2Conv", "TransformerConv") and case.x != "sources"
]


@pytest.mark.parametrize("case", ATTENTION, ids=str)
def test_attention_weights(case):
    """PyG's order: the kept edges as given, then the loops."""
    world = World(case, torch.float64)
    ours, theirs = (layer.double() for layer in _layers(case))
    out, alpha = world.ours(ours, return_attention_weights=True)
    expected, (edge_index, expected_alpha) = world.pygs(theirs, return_attention_weights=True)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(out, world.ours(ours))
    given = world.adj.edge_id
    if getattr(ours, "add_self_loops", False):
        given = torch.cat([given, E + torch.arange(min(world.size))])[graphkern.nn.with_self_loops(world.adj).edge_id]
    torch.testing.assert_close(alpha[given.argsort()], expected_alpha)
    assert len(alpha) == edge_index.shape[1]


def test_light_gcn():
    torch.manual_seed(3)
    ours = graphkern.nn.LightGCN(N, F_IN, 2)
    torch.manual_seed(3)
    theirs = pyg.LightGCN(N, F_IN, 2)
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    world = World(Case("LightGCN", (), {}, "nodes", None), torch.float32)
    torch.testing.assert_close(ours.get_embedding(world.adj), theirs.get_embedding(world.edge_index))
