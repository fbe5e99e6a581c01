"""The graphs that PyG's layers take, as CSR."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from graphkern._kept import kept_with
from graphkern.csr import CSR, INDEX_DTYPES

SPARSE_LAYOUTS = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)


class Edges(NamedTuple):
    """A graph as a layer was given it.

    adj: N x M. value: the values stored in a sparse matrix, [E, ...] in CSR order. form: what was given: "pairs" of
    nodes, our "CSR", a "SparseTensor" or a "torch.sparse" matrix; PyG's layers treat loops and values of each in its
    own way.
    """

    adj: CSR
    value: Tensor | None
    form: str

    @property
    def is_matrix(self) -> bool:
        """Values of edges were given with the graph."""
        return self.form in ("SparseTensor", "torch.sparse")

    def in_csr_order(self, values: Tensor | None) -> Tensor | None:
        """Values [E, ...] in the order of the given edges, in CSR order. Those that ask for no gradient are kept."""
        if values is None or self.form == "CSR" or self.adj._edge_id is None:
            return values
        if values.shape[0] != self.adj.num_edges:
            raise ValueError(f"there are values for {values.shape[0]} edges but the graph has {self.adj.num_edges}")
        edge_id = self.adj._edge_id
        if values.requires_grad:
            return values.index_select(0, edge_id)
        return kept_with((values, edge_id), "pyg: in CSR order", lambda: values.index_select(0, edge_id))


def edges_of(graph: Any, num_sources: int, num_destinations: int) -> Edges:
    """The graph that a layer was given.

    Args:
        graph: [2, E] integers (sources, destinations) or an EdgeIndex of them; or, destinations x sources, a
            torch_sparse.SparseTensor, a torch.sparse matrix (COO, CSR, CSC) or a graphkern.CSR.
        num_sources: M. num_destinations: N.
    Raises: ValueError for another shape, dtype or an index out of range; TypeError for something else.
    Cost: one counting sort, once a graph: the CSR (E + N indices, the order of the edges, and the transpose where
        gradients are taken) is kept with the given object until that dies or is written to. While compiling it is
        part of the compiled graph, and so built at each call, with its transpose.
    """
    if isinstance(graph, CSR):
        edges = Edges(graph, None, "CSR")
    elif not isinstance(graph, Tensor):
        edges = _of_sparse_tensor(graph)
    elif graph.layout in SPARSE_LAYOUTS:
        edges = _of_torch_sparse(graph)
    else:
        edges = Edges(_of_pairs(graph, num_sources, num_destinations), None, "pairs")
    adj = edges.adj
    if adj.num_rows != num_destinations or adj.num_cols != num_sources:
        raise ValueError(
            f"the graph has {adj.num_rows} destinations and {adj.num_cols} sources "
            f"but the features are of {num_destinations} and {num_sources}"
        )
    return edges


def _of_pairs(edge_index: Tensor, num_sources: int, num_destinations: int) -> CSR:
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"edge_index must be [2, E] but is {list(edge_index.shape)}")
    if edge_index.is_floating_point() or edge_index.is_complex() or edge_index.dtype == torch.bool:
        raise ValueError(f"edge_index must be of integers but is {edge_index.dtype}")

    def build() -> CSR:
        pairs = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
        pairs = pairs if pairs.dtype in INDEX_DTYPES else pairs.long()
        return _narrow(CSR.from_edge_index(pairs, num_destinations, num_sources))

    return kept_with((edge_index,), ("pyg: pairs", num_destinations, num_sources), build)


def _narrow(adj: CSR) -> CSR:
    """With int32 where they suffice: graphs are kept, and a layer keeps its looped graph and transposes beside them."""
    sizes = (adj.num_edges, adj.num_rows, adj.num_cols)
    fits = not torch.compiler.is_compiling() and max(sizes) <= torch.iinfo(torch.int32).max
    return adj.to(dtype=torch.int32) if fits else adj


def _of_torch_sparse(matrix: Tensor) -> Edges:
    if matrix.dim() - matrix.dense_dim() != 2:
        raise ValueError(f"expected a matrix but got {matrix.dim() - matrix.dense_dim()} sparse dimensions")

    def build() -> CSR:
        if matrix.layout == torch.sparse_csc:
            return _narrow(CSR(matrix.ccol_indices(), matrix.row_indices(), matrix.shape[0]).t())
        if matrix.layout == torch.sparse_csr:
            return CSR(matrix.crow_indices(), matrix.col_indices(), matrix.shape[1])
        row, column = matrix._indices()
        return _narrow(CSR.from_edge_index(torch.stack([column, row]), matrix.shape[0], matrix.shape[1]))

    adj = kept_with((matrix,), "pyg: torch.sparse", build)
    value = matrix._values() if matrix.layout == torch.sparse_coo else matrix.values()
    edges = Edges(adj, None, "torch.sparse")
    return edges._replace(value=edges.in_csr_order(value))


def _of_sparse_tensor(matrix: Any) -> Edges:
    if not hasattr(matrix, "sparse_sizes") or not hasattr(matrix, "csr"):
        raise TypeError(
            "a graph must be a [2, E] Tensor, EdgeIndex, SparseTensor, torch.sparse matrix or graphkern.CSR "
            f"but is {type(matrix).__name__}"
        )
    pointers, columns, value = matrix.csr()
    num_columns = matrix.sparse_size(1)

    def build() -> CSR:
        return CSR(pointers.detach(), columns.detach(), num_columns)

    return Edges(kept_with((columns, pointers), ("pyg: SparseTensor", num_columns), build), value, "SparseTensor")
