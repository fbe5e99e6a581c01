"""PyG's layers as an oracle: cases, what they run on, gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

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


def cases_of(layer: str, args: tuple, options: list[dict], x: str = "nodes", edge: str | None = None) -> list[Case]:
    return [Case(layer, args, kwargs, x, edge) for kwargs in options]


def _attention(layer: str) -> list[Case]:
    one, two, bipartite = (F_IN, F_OUT), (F_IN, F_OUT, 2), ((F_IN, F_DST), F_OUT, 2)
    options = [{}, {"concat": False}, {"dropout": 0.5}, {"bias": False}]
    own = {
        "GATConv": [{"negative_slope": 0.5}, {"add_self_loops": False}, {"residual": True}],
        "GATv2Conv": [{"share_weights": True}, {"negative_slope": 0.5}, {"add_self_loops": False}, {"residual": True}],
        "TransformerConv": [{"beta": True}, {"root_weight": False}, {"root_weight": False, "beta": True}],
    }[layer]
    cases = cases_of(layer, one, [{}]) + cases_of(layer, two, options + own)
    cases += cases_of(
        layer,
        bipartite,
        [{}, {"concat": False, **own[-1]}, {**own[0], "bias": False}][: 2 + ("2" not in layer)],
        "pair",
    )
    cases += cases_of(layer, two, [{}, own[-1]], "same")
    with_edges = [{"edge_dim": F_EDGE}, {"edge_dim": F_EDGE, "concat": False, **own[-1]}]
    if layer == "TransformerConv":
        cases += cases_of(layer, bipartite, with_edges, "pair", "features")
    else:
        # PyG has no reduced loop features for more rows than columns.
        cases += cases_of(
            layer, bipartite, [{"fill_value": 0.5} | options for options in with_edges], "pair", "features"
        )
        with_edges += [{"edge_dim": F_EDGE, "fill_value": fill} for fill in (0.5, "add", "sum", "max", "min")]
        with_edges += [{"edge_dim": F_EDGE, "fill_value": torch.arange(F_EDGE) / 3}]
        cases += cases_of(layer, two, [{"edge_dim": F_EDGE}, {"edge_dim": F_EDGE, "add_self_loops": False}])
        cases += cases_of(layer, two, [{"edge_dim": 1}], edge="weight")
    return cases + cases_of(layer, two, with_edges, edge="features")


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
    cases = cases_of("RGCNConv", args, [*options, {"num_blocks": 2, "aggr": "max"}], edge="type")
    cases += cases_of("RGCNConv", ((F_IN, F_DST), F_OUT, R), options[:4], "pair", "type")
    for x in ("numbers", "nothing"):
        options = [{}, {"num_bases": 2}, {"root_weight": False}, {"aggr": "add"}, {"aggr": "max"}]
        cases += cases_of("RGCNConv", (N, F_OUT, R), options, x, "type")
    return cases


CASES = [
    *cases_of(
        "GCNConv",
        (F_IN, F_OUT),
        [{}, {"add_self_loops": False}, {"normalize": False}, {"bias": False}],
    ),
    *cases_of("GCNConv", (F_IN, F_OUT), [{}, {"improved": True}, {"normalize": False}], edge="weight"),
    *cases_of("SAGEConv", (F_IN, F_OUT), [{"aggr": aggr} for aggr in ("mean", "sum", "add", "max", "min")]),
    *cases_of(
        "SAGEConv", (F_IN, F_OUT), [{"normalize": True}, {"root_weight": False}, {"project": True}, {"bias": False}]
    ),
    *cases_of("SAGEConv", ((F_IN, F_DST), F_OUT), [{}, {"aggr": "max"}, {"project": True}], "pair"),
    *cases_of("SAGEConv", ((F_IN, F_DST), F_OUT), [{}], "sources"),
    *_attention("GATConv"),
    *cases_of("GATConv", (F_IN, F_OUT, 2), [{}, {"residual": True}], "shared"),
    *cases_of(
        "GATConv",
        ((F_IN, F_DST), F_OUT, 2),
        [{"add_self_loops": False, "residual": True}, {"edge_dim": F_EDGE}],
        "sources",
    ),
    *cases_of("GATConv", ((F_IN, F_DST), F_OUT, 2), [{"edge_dim": F_EDGE, "fill_value": 0.5}], "sources", "features"),
    *_attention("GATv2Conv"),
    *cases_of("GATv2Conv", (F_IN, F_OUT, 2), [{"share_weights": True}], "shared"),
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


def gradients(out: Tensor, layer, leaves: list[Tensor]) -> dict[str, Tensor | None]:
    inputs = {f"input {i}": leaf for i, leaf in enumerate(leaves)} | dict(layer.named_parameters())
    probe = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return dict(zip(inputs, torch.autograd.grad((out * probe).sum(), inputs.values(), allow_unused=True), strict=True))


def assert_same_gradients(found: dict[str, Tensor | None], expected: dict[str, Tensor | None], **tolerance) -> None:
    """What takes no part has a gradient of zeros or none."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        if gradient is None or found[name] is None:
            assert all(grad is None or not grad.any() for grad in (found[name], gradient)), name
        else:
            torch.testing.assert_close(
                found[name], gradient, **tolerance, msg=lambda text, name=name: f"{name}: {text}"
            )
