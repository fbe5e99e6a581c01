"""PyG's layers with our ops in forward. A layer of PyG becomes one by a change of its class, so that its parameters,
hooks and whatever refers to it stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.parameter import is_lazy
from torch_geometric import nn as pyg
from torch_geometric.nn.conv import MessagePassing

from graphkern import nn
from graphkern.csr import CSR, INDEX_DTYPES
from graphkern.nn.arguments import reduce_of
from graphkern.nn.norm import GCNNorm, gcn_norm
from graphkern.ops import spmm
from graphkern.pyg.edges import Edges, edges_of

Features = Tensor | tuple[Tensor, Tensor | None]

_HOOKS = tuple(
    f"_{place}_forward_{when}hooks"
    for place in ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update")
    for when in ("pre_", "")
)
# what GCN does with the loops of a graph, by the form in which it is given
_LOOPS = {"pairs": "keep", "CSR": "keep", "SparseTensor": "replace", "torch.sparse": "add"}


class Fused(MessagePassing):
    """What the layers share. `reduces`: the values of aggr that have a kernel."""

    reduces: tuple[str, ...] = ("sum", "add", "mean", "max", "min")
    reduce: str

    @classmethod
    def why_not(cls, layer: MessagePassing) -> str | None:
        """Why a layer cannot become one of this class, or None where it can."""
        if layer.flow != "source_to_target":
            return f"flow is {layer.flow!r}"
        if not isinstance(layer.aggr, str) or layer.aggr not in cls.reduces:
            return f"no kernel for aggr {layer.aggr!r}"
        if layer.node_dim not in (-2, 0):
            return f"node_dim is {layer.node_dim}"
        if layer.decomposed_layers > 1:
            return "decomposed_layers is above 1"
        if any(is_lazy(parameter) for parameter in layer.parameters()):
            return "its input channels are not known before its first call"
        if getattr(layer, "fill_value", None) == "mul":
            return "no kernel for fill_value 'mul'"
        return None

    @classmethod
    def adopt(cls, layer: MessagePassing) -> None:
        layer.__class__ = cls
        layer.reduce = reduce_of(layer.aggr)

    def observed(self, x: Any) -> bool:
        """Whether this call needs what PyG's own code does on the way: messages that are explained or hooked, or
        features [B, N, F] of several copies of the graph."""
        first = x[0] if isinstance(x, (tuple, list)) else x
        is_static = isinstance(first, Tensor) and first.dim() > 2
        return is_static or bool(self.explain) or any(getattr(self, name) for name in _HOOKS)


def _pair(x: Features | list) -> tuple[Tensor, Tensor | None]:
    return (x, x) if isinstance(x, Tensor) else (x[0], x[1])


def _edges(graph: Any, x: Features | list, size: tuple | None = None) -> Edges:
    """The graph over the nodes that x has features of; without those of destinations size counts them."""
    source, destination = _pair(x)
    if destination is not None:
        num_destinations = destination.shape[0]
    elif isinstance(graph, Tensor) and graph.layout == torch.strided:
        num_destinations = source.shape[0] if size is None or size[1] is None else size[1]
    else:
        num_destinations = graph.num_rows if isinstance(graph, CSR) else graph.size(0)
    return edges_of(graph, source.shape[0], num_destinations)


def _weight(edges: Edges, edge_weight: Tensor | None, like: Tensor) -> Tensor | None:
    """[E] in CSR order: edge_weight, or what a sparse matrix holds."""
    weight = edges.value if edges.is_matrix else edges.in_csr_order(edge_weight)
    return None if weight is None else weight.to(like.dtype)


def _stored(edges: Edges) -> Tensor | None:
    """The values of a torch.sparse matrix: layers that know no weights multiply by them all the same."""
    return edges.value if edges.form == "torch.sparse" else None


class GCNConv(Fused, pyg.GCNConv):
    reduces = ("sum", "add")
    _norm: tuple[GCNNorm] | None = None

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._norm = None

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        if isinstance(x, (tuple, list)) or self.observed(x):
            return pyg.GCNConv.forward(self, x, edge_index, edge_weight)
        edges = _edges(edge_index, x)
        x = self.lin(x)
        if self.normalize:
            return self._normalized(edges, edge_weight, x.dtype).apply(x, self.bias)
        out = spmm(edges.adj, x, _weight(edges, edge_weight, x))
        return out if self.bias is None else out + self.bias

    def _normalized(self, edges: Edges, edge_weight: Tensor | None, dtype: torch.dtype) -> GCNNorm:
        """With `cached` that of the first call, whatever comes later."""
        if self._norm is not None:
            return self._norm[0]
        weight = edges.value if edges.is_matrix else edges.in_csr_order(edge_weight)
        improved = self.improved and (edges.is_matrix or weight is not None)  # there PyG adds ones all the same
        loop = (2.0 if improved else 1.0) if self.add_self_loops else None
        norm = gcn_norm(edges.adj, weight, loop, dtype, _LOOPS[edges.form])
        if self.cached:
            self._norm = (norm,)
        return norm


class LGConv(Fused, pyg.LGConv):
    reduces = ("sum", "add")

    def forward(self, x: Tensor, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:
        if self.observed(x):
            return pyg.LGConv.forward(self, x, edge_index, edge_weight)
        edges = _edges(edge_index, x)
        weight = _weight(edges, edge_weight, x)
        if not self.normalize:
            return spmm(edges.adj, x, weight)
        return gcn_norm(edges.adj, weight, None, x.dtype).apply(x)


class SAGEConv(Fused, pyg.SAGEConv):
    def forward(self, x: Features, edge_index: Any, size: tuple | None = None) -> Tensor:
        if self.observed(x):
            return pyg.SAGEConv.forward(self, x, edge_index, size)
        edges = _edges(edge_index, x, size)
        source, destination = _pair(x)
        if self.project:
            source = self.lin(source).relu()
        out = self.lin_l(spmm(edges.adj, source, _stored(edges), self.reduce))
        if self.root_weight and destination is not None:
            out = out + self.lin_r(destination)
        return normalize(out, p=2.0, dim=-1) if self.normalize else out


class GINConv(Fused, pyg.GINConv):
    def forward(self, x: Features, edge_index: Any, size: tuple | None = None) -> Tensor:
        if self.observed(x):
            return pyg.GINConv.forward(self, x, edge_index, size)
        edges = _edges(edge_index, x, size)
        source, destination = _pair(x)
        out = spmm(edges.adj, source, _stored(edges), self.reduce)
        return self.nn(out if destination is None else out + (1 + self.eps) * destination)


class GraphConv(Fused, pyg.GraphConv):
    def forward(
        self, x: Features, edge_index: Any, edge_weight: Tensor | None = None, size: tuple | None = None
    ) -> Tensor:
        if self.observed(x):
            return pyg.GraphConv.forward(self, x, edge_index, edge_weight, size)
        edges = _edges(edge_index, x, size)
        source, destination = _pair(x)
        out = self.lin_rel(spmm(edges.adj, source, _weight(edges, edge_weight, source), self.reduce))
        return out if destination is None else out + self.lin_root(destination)


class _Attention(Fused):
    reduces = ("sum", "add")
    ignores_edge_attr = False  # of a layer without edge_dim

    def _attend_by(
        self, theirs: Callable, ours: Callable, x: Any, graph: Any, edge_attr: Tensor | None, weights: Any, *size: Any
    ) -> Any:
        if self._unfused(x, graph, edge_attr, weights):
            return theirs(self, x, graph, edge_attr, *size, weights)
        edges = _edges(graph, x, *size)
        x = x if isinstance(x, Tensor) else tuple(x)
        return ours(self, x, edges.adj, self._features(edges, edge_attr))

    def _features(self, edges: Edges, edge_attr: Tensor | None) -> Tensor | None:
        """[E, F_edge] in CSR order: edge_attr, or what a sparse matrix holds."""
        if self.lin_edge is None:
            return None
        if edge_attr is None and edges.value is not None and (edges.form == "SparseTensor" or edges.value.dim() > 1):
            return edges.value
        return edges.in_csr_order(edge_attr)

    def _unfused(self, x: Any, graph: Any, edge_attr: Tensor | None, weights: bool | None) -> bool:
        """Whether PyG's own code is to run: observed calls, attention weights, and what PyG itself refuses or treats
        differently from form to form."""
        if weights is not None or self.observed(x):
            return True
        if self.lin_edge is None:
            return edge_attr is not None and not self.ignores_edge_attr
        if isinstance(graph, CSR) or not getattr(self, "add_self_loops", False):
            return False
        if not isinstance(graph, Tensor):
            return True
        return graph.layout != torch.strided and (edge_attr is not None or graph.dense_dim() > 0)


class GATConv(_Attention, pyg.GATConv, nn.GATConv):
    ignores_edge_attr = True

    def forward(
        self,
        x: Features,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        size: tuple | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        weights = return_attention_weights
        return self._attend_by(pyg.GATConv.forward, nn.GATConv.forward, x, edge_index, edge_attr, weights, size)


class GATv2Conv(_Attention, pyg.GATv2Conv, nn.GATv2Conv):
    def forward(
        self,
        x: Features,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        weights = return_attention_weights
        return self._attend_by(pyg.GATv2Conv.forward, nn.GATv2Conv.forward, x, edge_index, edge_attr, weights)


class TransformerConv(_Attention, pyg.TransformerConv, nn.TransformerConv):
    def forward(
        self,
        x: Features,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        weights = return_attention_weights
        return self._attend_by(
            pyg.TransformerConv.forward, nn.TransformerConv.forward, x, edge_index, edge_attr, weights
        )


class RGCNConv(Fused, pyg.RGCNConv, nn.RGCNConv):
    def forward(self, x: Any, edge_index: Any, edge_type: Tensor | None = None) -> Tensor:
        is_torch_sparse = isinstance(edge_index, Tensor) and edge_index.layout != torch.strided
        if self.observed(x) or is_torch_sparse:
            return pyg.RGCNConv.forward(self, x, edge_index, edge_type)
        source, destination = x if isinstance(x, tuple) else (x, x)
        num_sources: Any = self.in_channels_l if source is None else source.shape[0]
        num_destinations = num_sources if destination is None else destination.shape[0]
        edges = edges_of(edge_index, num_sources, num_destinations)
        kind = edges.value if edges.is_matrix else edges.in_csr_order(edge_type)
        if kind is None:
            raise ValueError("RGCNConv needs edge_type, or a SparseTensor that holds it")
        return nn.RGCNConv.forward(self, x, edges.adj, kind if kind.dtype in INDEX_DTYPES else kind.long())


FUSED: dict[type[MessagePassing], type[Fused]] = {
    pyg.GATConv: GATConv,
    pyg.GATv2Conv: GATv2Conv,
    pyg.GCNConv: GCNConv,
    pyg.GINConv: GINConv,
    pyg.GraphConv: GraphConv,
    pyg.LGConv: LGConv,
    pyg.RGCNConv: RGCNConv,
    pyg.SAGEConv: SAGEConv,
    pyg.TransformerConv: TransformerConv,
}
