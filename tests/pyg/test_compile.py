"""Accelerated models under torch.compile: no graph break, and no compilation for another batch size."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import graphkern
from tests.pyg_world import pyg

F, SIZES = 16, ((20, 60), (25, 80), (31, 95), (44, 171))


def _no_values(num_edges: int) -> tuple:
    return ()


def _weights(num_edges: int) -> tuple:
    return (torch.rand(num_edges),)


def _features(num_edges: int) -> tuple:
    return (torch.rand(num_edges, 3),)


def _relations(num_edges: int) -> tuple:
    return (torch.randint(3, (num_edges,)),)


MODELS = {
    "GCN": (lambda: pyg.GCN(F, 8, 2), _no_values),
    "GCN, weights": (lambda: pyg.GCN(F, 8, 2), _weights),
    "GraphSAGE": (lambda: pyg.GraphSAGE(F, 8, 2), _no_values),
    "GAT": (lambda: pyg.GAT(F, 8, 2, heads=2), _no_values),
    "GATv2": (lambda: pyg.GAT(F, 8, 2, heads=2, v2=True), _no_values),
    "GATConv, features": (lambda: pyg.GATConv(F, 8, 2, edge_dim=3), _features),
    "GIN": (lambda: pyg.GIN(F, 8, 2).eval(), _no_values),
    "GraphConv": (lambda: pyg.GraphConv(F, 8), _weights),
    "TransformerConv": (lambda: pyg.TransformerConv(F, 8, 2, edge_dim=3), _features),
    "RGCNConv": (lambda: pyg.RGCNConv(F, 8, 3), _relations),
    "LGConv": (lambda: pyg.LGConv(), _no_values),
}


def _compiled(model: torch.nn.Module, backend: str) -> tuple:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend(backend)
    return torch.compile(model, fullgraph=True, backend=counter), counter


def _check(name: str, backend: str, sizes: tuple) -> None:
    """The second size makes sizes dynamic; from then on nothing is compiled."""
    build, values = MODELS[name]
    model = graphkern.accelerate(build())
    compiled, counter = _compiled(model, backend)
    for i, (num_nodes, num_edges) in enumerate(sizes):
        x, edges = torch.randn(num_nodes, F, requires_grad=True), torch.randint(num_nodes, (2, num_edges))
        arguments = (x, edges, *values(num_edges))
        out, expected = compiled(*arguments), model(*arguments)
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
        gradients = [torch.autograd.grad(o.square().sum(), (x, *model.parameters())) for o in (out, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
        assert counter.frame_count <= 2, f"compiled for size {i}"


@pytest.mark.parametrize("name", MODELS)
def test_no_break_and_no_compilation_for_another_size(name):
    _check(name, "aot_eager", SIZES)


@pytest.mark.parametrize("name", ["GCN, weights", "GAT", "RGCNConv"])
def test_export(name):
    """For any number of nodes and edges."""
    build, values = MODELS[name]
    model = graphkern.accelerate(build()).eval()
    nodes, edges = torch.export.Dim("nodes", min=2), torch.export.Dim("edges", min=3)
    arguments = (torch.randn(20, F), torch.randint(20, (2, 60)), *values(60))
    shapes = ({0: nodes}, {1: edges}, *({0: edges} for _ in values(1)))
    program = torch.export.export(model, arguments, dynamic_shapes=shapes).module()
    others = (torch.randn(7, F), torch.randint(7, (2, 33)), *values(33))
    torch.testing.assert_close(program(*others), model(*others), rtol=1e-5, atol=1e-5)


def test_inductor():
    _check("GAT", "inductor", SIZES[:3])


def test_dropout():
    """Drawn in the graph: anew at each call, to torch's seed."""
    model = graphkern.accelerate(pyg.GATConv(F, 8, 2, dropout=0.5))
    compiled, _ = _compiled(model, "aot_eager")
    x, edges = torch.randn(20, F), torch.randint(20, (2, 60))
    torch.manual_seed(1)
    draws = [compiled(x, edges) for _ in range(2)]
    assert not torch.equal(*draws)
    torch.manual_seed(1)
    torch.testing.assert_close([model(x, edges) for _ in range(2)], draws)


def test_bad_edges_are_found():
    model = graphkern.accelerate(pyg.GCN(F, 8, 1))
    compiled, _ = _compiled(model, "aot_eager")
    edges = torch.randint(20, (2, 60))
    edges[0, 7] = 20
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"edge_index\[0\] \(source\) is out of range"):
        compiled(torch.randn(20, F), edges)


def test_a_csr_built_before_saves_the_sorts():
    model = graphkern.accelerate(pyg.GAT(F, 8, 2, heads=2))
    compiled, _ = _compiled(model, "aot_eager")
    x, edges = torch.randn(20, F), torch.randint(20, (2, 60))
    adj = graphkern.CSR.from_edge_index(edges, 20, 20)
    expected = model(x, adj)
    with torch.profiler.profile() as profile:
        torch.testing.assert_close(compiled(x, adj), expected)
    assert not any("counting_sort" in event.key for event in profile.key_averages())
