"""A training step of each layer of graphkern.nn beside PyG's layer of the same name and parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import graphkern.nn
from graphkern import CSR

from .graphs import Absent, graph
from .measure import Result, TensorsCall, measure, row_of, with_gradients
from .timing import FULL, SMOKE

CHANNELS, HEADS, RELATIONS = 64, 4, 4
HEADED = ("GATConv", "GATv2Conv", "TransformerConv")
LAYERS: dict[str, dict[str, Any]] = {
    "GCNConv": {},
    "SAGEConv": {},
    "SAGEConv-max": {"aggr": "max"},
    "GATConv": {"heads": HEADS},
    "GATv2Conv": {"heads": HEADS},
    "TransformerConv": {"heads": HEADS},
    "RGCNConv": {"num_relations": RELATIONS},
}
UNIFORM, GOWALLA, RMAT = "uniform-100k-x15", "gowalla", "rmat-1M-10M"
PAIRS = [
    *((name, UNIFORM) for name in LAYERS),
    *((name, GOWALLA) for name in ("GCNConv", "SAGEConv", *HEADED)),
    *((name, graph_name) for name in LAYERS for graph_name in (GOWALLA, RMAT) if FULL),
]
# Relative error, in norm. PyG's float32 gradients of the attention vectors, sums over all edges, are 1e-3 off those in
# float64; and where neighbors have the same largest value, its gradient goes to others than ours.
LIMIT = 2e-3


@contextlib.contextmanager
def _extensions(allowed: bool) -> Iterator[None]:
    """PyG with or without torch_scatter, where it has it."""
    import torch_geometric.typing as pyg

    has_scatter = pyg.WITH_TORCH_SCATTER
    pyg.WITH_TORCH_SCATTER = has_scatter and allowed
    try:
        yield
    finally:
        pyg.WITH_TORCH_SCATTER = has_scatter


def _layers(name: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and PyG's, with the same parameters."""
    layer, options = name.split("-")[0], LAYERS[name]
    pyg = pytest.importorskip("torch_geometric.nn")
    ours = getattr(graphkern.nn, layer, None)
    if ours is None:
        pytest.skip(f"graphkern.nn.{layer} is not there")
    torch.manual_seed(0)
    theirs = getattr(pyg, layer)(CHANNELS, CHANNELS // options.get("heads", 1), **options)
    mine = ours(CHANNELS, CHANNELS // options.get("heads", 1), **options)
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def _adjacency(name: str) -> CSR:
    try:
        return graph(name, SMOKE)
    except Absent as reason:
        pytest.skip(str(reason))


def _pyg_peers(layer: torch.nn.Module, x: Tensor, adj: CSR, *more: Tensor) -> dict[str, Callable[[], TensorsCall]]:
    """PyG on a list of edges sorted by destination, with and without torch_scatter, and on a sparse tensor."""
    import torch_geometric.typing as pyg

    leaves = [x, *layer.parameters()]
    edge_index = torch.stack([adj.indices, adj.row_index()]).long()

    def on(edges: Tensor, extensions: bool) -> TensorsCall:
        step = with_gradients(lambda: layer(x, edges, *more), leaves)

        def call() -> list[Tensor]:
            with _extensions(extensions):
                return step()

        return call

    def with_scatter() -> TensorsCall:
        if not pyg.WITH_TORCH_SCATTER:
            raise Absent("torch_scatter is not installed")
        return on(edge_index, extensions=True)

    def sparse() -> TensorsCall:
        if more or type(layer).__name__ not in ("GCNConv", "SAGEConv"):
            raise Absent("has no fused path in this layer")
        shape = adj.num_rows, adj.num_cols
        ones = torch.ones(adj.num_edges)
        return on(torch.sparse_csr_tensor(adj.indptr.long(), adj.indices.long(), ones, shape), extensions=True)

    return {
        "PyG": lambda: on(edge_index, extensions=False),
        "PyG with torch_scatter": with_scatter,
        "PyG on a sparse tensor": sparse,
    }


def _targets(layer: str, result: Result) -> dict[str, float]:
    best = result.best()
    if best is None or result.peer_peak is None:
        return {}
    group = "GATConv, GATv2Conv, TransformerConv" if layer in HEADED else "GCNConv, SAGEConv, RGCNConv"
    targets = {
        f"{group} training step against PyG": result.ratio(best),
        f"{group} peak extra memory over PyG's": result.peak / max(result.peer_peak, 1),
    }
    return {label: value for label, value in targets.items() if value is not None}


@pytest.mark.parametrize(("name", "graph_name"), dict.fromkeys(PAIRS))
def test_training_step(benchmark, record, name: str, graph_name: str):
    adj = _adjacency(graph_name)
    mine, theirs = _layers(name)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(adj.num_rows, CHANNELS, generator=generator).requires_grad_()
    more = []
    if name == "RGCNConv":
        more = [torch.randint(0, RELATIONS, (adj.num_edges,), generator=generator)]
    parameters = dict(mine.named_parameters())
    leaves = [x, *(parameters[key] for key, _ in theirs.named_parameters())]
    ours = with_gradients(lambda: mine(x, adj, *more), leaves)
    result = measure(benchmark, ours, _pyg_peers(theirs, x, adj, *more), LIMIT)
    record(row_of(result, name, graph_name, "forward+backward", targets=_targets(name.split("-")[0], result)))
