"""Layers against PyG's: outputs, gradients, parameter names, initial values, attention weights."""

from __future__ import annotations

import pytest
import torch

import graphkern.nn
from tests.pyg_world import CASES, F_IN, TOLERANCE, Case, E, N, World, assert_same_gradients, gradients, pyg


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


@pytest.mark.parametrize("case", CASES, ids=str)
def test_initial_values_outputs_andgradients(case):
    """The same seed gives the same parameters; each loads the other's state_dict; float32 agrees to 1e-5."""
    ours, theirs = _layers(case)
    for dtype, tolerance in TOLERANCE.items():
        world = World(case, dtype)
        ours.to(dtype), theirs.to(dtype)
        out, expected = world.ours(ours), world.pygs(theirs)
        torch.testing.assert_close(out, expected, **tolerance)
        found, wanted = gradients(out, ours, world.leaves), gradients(expected, theirs, world.leaves)
        assert_same_gradients(found, wanted, **tolerance)


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
    torch.testing.assert_close(gradients(out, ours, world.leaves), gradients(expected, theirs, world.leaves))


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
