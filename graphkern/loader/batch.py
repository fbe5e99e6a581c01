"""What a loader hands out: a sampled subgraph with the data of its nodes and edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from graphkern.csr import CSR
from graphkern.ops.sample_neighbors import SampledSubgraph
from graphkern.ops.sample_neighbors_hetero import EdgeType, HeteroSubgraph

if TYPE_CHECKING:
    from torch_geometric.data import Data, HeteroData

S = TypeVar("S", bound=SampledSubgraph | HeteroSubgraph)


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch(SampledSubgraph):
    """A sampled subgraph (nodes, adj, edge_id, layers, num_nodes_per_hop, num_edges_per_hop, batch) and its data.

    batch_size: B, how many items (seeds or positive pairs) the batch is for.
    input_id: [B] int64, their numbers among the loader's.
    x: [n, ...] features of nodes. y: [B, ...] targets of the seeds. edge_attr: [e, ...] in the order of edge_id.
    pairs: [2, P] int64, sources and destinations as places in nodes; labels: [P] float32, 1 for the B positive pairs,
        which come first, 0 for the negative ones. None where seeds are nodes.
    """

    batch_size: int
    input_id: Tensor
    x: Tensor | None = None
    y: Tensor | None = None
    edge_attr: Tensor | None = None
    pairs: Tensor | None = None
    labels: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device, without waiting for copies out of page-locked memory."""
        return _map(self, lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked host memory. Needs CUDA."""
        return _map(self, Tensor.pin_memory)

    def to_pyg(self) -> Data:
        """A ``torch_geometric.data.Data`` with the names that PyG's loaders use. Needs torch_geometric.

        x, edge_index [2, e] int64 (source, destination), edge_attr, y (of the seeds, which come first among the nodes),
        n_id, e_id, input_id, batch_size, num_sampled_nodes, num_sampled_edges; batch if disjoint; edge_label_index and
        edge_label for pairs.
        """
        from torch_geometric.data import Data

        data = Data(
            x=self.x, edge_index=_edge_index(self.adj), edge_attr=self.edge_attr, y=self.y, n_id=self.nodes,
            e_id=self.edge_id, input_id=self.input_id, batch_size=self.batch_size, num_nodes=self.nodes.shape[0],
            num_sampled_nodes=self.num_nodes_per_hop, num_sampled_edges=self.num_edges_per_hop,
        )  # fmt: skip
        if self.batch is not None:
            data.batch = self.batch
        if self.pairs is not None:
            data.edge_label_index, data.edge_label = self.pairs, self.labels
        return data


@dataclass(frozen=True, eq=False, kw_only=True)
class HeteroBatch(HeteroSubgraph):
    """A sampled subgraph of several node types (nodes, adjs, edge_id, num_nodes_per_hop, num_edges_per_hop, batch) and
    its data.

    input_type: the node type of the seeds, or the edge type of the pairs.
    batch_size, input_id, labels: as in Batch. pairs: places among the nodes of the source and the destination type.
    x: by node type, [n, ...]. y: [B, ...] targets of the seeds. edge_attr: by edge type, [e, ...].
    """

    input_type: str | EdgeType
    batch_size: int
    input_id: Tensor
    x: dict[str, Tensor]
    edge_attr: dict[EdgeType, Tensor]
    y: Tensor | None = None
    pairs: Tensor | None = None
    labels: Tensor | None = None

    def to(self, device: torch.device | str) -> HeteroBatch:
        """The same batch on another device, without waiting for copies out of page-locked memory."""
        return _map(self, lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> HeteroBatch:
        """The same batch in page-locked host memory. Needs CUDA."""
        return _map(self, Tensor.pin_memory)

    def to_pyg(self) -> HeteroData:
        """A ``torch_geometric.data.HeteroData`` with the names of Batch.to_pyg, those of the items on input_type."""
        from torch_geometric.data import HeteroData

        data = HeteroData()
        for kind, nodes in self.nodes.items():
            store = data[kind]
            store.n_id, store.num_nodes = nodes, nodes.shape[0]
            store.num_sampled_nodes = self.num_nodes_per_hop[kind]
            if kind in self.x:
                store.x = self.x[kind]
            if self.batch is not None:
                store.batch = self.batch[kind]
        for key, adj in self.adjs.items():
            store = data[key]
            store.edge_index, store.e_id = _edge_index(adj), self.edge_id[key]
            store.num_sampled_edges = self.num_edges_per_hop[key]
            if key in self.edge_attr:
                store.edge_attr = self.edge_attr[key]
        store = data[self.input_type]
        store.input_id, store.batch_size = self.input_id, self.batch_size
        if self.y is not None:
            store.y = self.y
        if self.pairs is not None:
            store.edge_label_index, store.edge_label = self.pairs, self.labels
        return data


def _map(batch: S, function: Callable[[Tensor], Tensor]) -> S:
    """The batch with every tensor in it, those of graphs too, passed through function."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **pytree.tree_map_only(Tensor, function, values))


def _edge_index(adj: CSR) -> Tensor:
    return torch.stack([adj.indices, adj.row_index()]).long()
