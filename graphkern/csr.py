"""The one sparse type: a graph as compressed sparse rows, with its cached transpose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from graphkern._reorder import METHODS, node_order

if TYPE_CHECKING:
    from scipy.sparse import csr_array

INDEX_DTYPES = (torch.int32, torch.int64)

# How a graph enters an op: the CSR, its transpose, and for both the row of `weight` that each stored edge reads
# (`edge`, `t_edge`; None is the identity). Backward passes swap the two halves.
GRAPH_SCHEMA = "Tensor indptr, Tensor indices, Tensor? edge, Tensor? t_indptr, Tensor? t_indices, Tensor? t_edge"
# For ops whose edges are in CSR order already: `edge` is the identity. Gradients are given the transposed half.
ORDERED_GRAPH_SCHEMA = "Tensor indptr, Tensor indices, Tensor? t_indptr, Tensor? t_indices, Tensor? t_edge"
ORDERED_GRAPH_GRADIENT_SCHEMA = ORDERED_GRAPH_SCHEMA.replace("?", "")
GraphTensors = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]


def row_index(indptr: Tensor, num_edges: int) -> Tensor:
    """[E] row of each stored edge, in the dtype of indptr [N + 1]."""
    rows = torch.arange(indptr.shape[0] - 1, dtype=indptr.dtype, device=indptr.device)
    return torch.repeat_interleave(rows, indptr[1:] - indptr[:-1], output_size=num_edges)


class CSR:
    """An N x M sparse pattern in compressed rows: rows are destinations, columns are sources.

    The neighbors of row i are ``indices[indptr[i]:indptr[i + 1]]``, in any order; parallel edges count. Frozen: the
    tensors are never written.

    Args:
        indptr: [N + 1] int32 or int64, starts at 0, never decreases, ends at E.
        indices: [E], same dtype and device as indptr, each in [0, num_cols).
        num_cols: M.
        edge_id: [E] position of each stored edge in the caller's edge order; None is 0, 1, ..., E - 1.
        validate: read the values once and check them. With False, values that break the rules above give undefined
            results in every op.

    Raises:
        TypeError: the index dtype is not int32 or int64, or the two differ.
        ValueError: wrong shape or device, decreasing indptr, index out of range.

    Cost: no copy. The transpose (built on first need) holds N + M + 2 E more indices.
    """

    __slots__ = ("__weakref__", "_edge_id", "_permutation", "_transpose", "derived", "indices", "indptr", "num_cols")

    indptr: Tensor
    indices: Tensor
    num_cols: int
    derived: dict[str, Any]  # what layers build from this graph and keep with it, by name
    _edge_id: Tensor | None
    _transpose: CSR | None
    _permutation: Tensor | None

    def __init__(
        self, indptr: Tensor, indices: Tensor, num_cols: int, *, edge_id: Tensor | None = None, validate: bool = True
    ) -> None:
        _check_layout(indptr, indices, num_cols, edge_id)
        if validate:
            _check_values(indptr, indices, num_cols)
        for name, value in (
            ("indptr", indptr.contiguous()),
            ("indices", indices.contiguous()),
            ("num_cols", num_cols if isinstance(num_cols, torch.SymInt) else int(num_cols)),
            ("_edge_id", edge_id),
            ("_transpose", None),
            ("_permutation", None),
            ("derived", {}),
        ):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"CSR is frozen: cannot set {name}")

    def __reduce__(self) -> tuple[Callable, tuple]:
        """Copies and pickles carry the graph itself; a transpose is built anew where it is needed."""
        return _unflatten, _flatten(self)

    @classmethod
    def from_edge_index(cls, edge_index: Tensor, num_rows: int, num_cols: int) -> CSR:
        """Sort edges by destination, keeping the caller's order within a row.

        Args:
            edge_index: [2, E] int32 or int64: sources (columns), then destinations (rows).
            num_rows: N. num_cols: M.
        Returns: a CSR whose ``edge_id`` leads back to the columns of edge_index.
        Raises: TypeError for a dtype that is not int32 or int64; ValueError for a wrong shape or an index out of range.
        Cost: one stable counting sort, O(E + N); 8 bytes an edge meanwhile.
        """
        if edge_index.dim() != 2 or edge_index.shape[0] != 2:
            raise ValueError(f"edge_index must be [2, E] but is {list(edge_index.shape)}")
        _check_index_dtype(edge_index, "edge_index")
        source, destination = edge_index[0].contiguous(), edge_index[1].contiguous()
        check_range(source, num_cols, "edge_index[0] (source)")
        check_range(destination, num_rows, "edge_index[1] (destination)")
        indptr, edge_id = torch.ops.graphkern.counting_sort(destination, num_rows)
        return cls(indptr, source[edge_id], num_cols, edge_id=edge_id, validate=False)

    @classmethod
    def from_scipy(cls, matrix: csr_array) -> CSR:
        """The pattern of a scipy sparse matrix (values are dropped; ``matrix.tocsr().data`` has them in CSR order)."""
        matrix = matrix.tocsr()
        return cls(torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices), matrix.shape[1])

    @classmethod
    def from_torch_sparse(cls, matrix: Tensor) -> CSR:
        """The pattern of a 2-D ``torch.sparse_csr`` or ``torch.sparse_coo`` tensor (values are dropped)."""
        if matrix.layout == torch.sparse_coo and matrix.dim() == 2:
            row, col = matrix._indices()
            return cls.from_edge_index(torch.stack([col, row]), matrix.shape[0], matrix.shape[1])
        if matrix.layout == torch.sparse_csr and matrix.dim() == 2:
            return cls(matrix.crow_indices(), matrix.col_indices(), matrix.shape[1])
        raise ValueError(f"expected a 2-D sparse_csr or sparse_coo tensor but got {matrix.dim()}-D {matrix.layout}")

    def to_scipy(self) -> csr_array:
        """A ``scipy.sparse.csr_array`` of ones; parallel edges stay separate entries."""
        import numpy as np
        from scipy.sparse import csr_array

        indptr, indices = self.indptr.cpu().numpy(), self.indices.cpu().numpy()
        return csr_array((np.ones(self.num_edges), indices, indptr), shape=(self.num_rows, self.num_cols))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> CSR:
        """The same graph on another device or with another index dtype; self where nothing changes."""
        device = self.device if device is None else torch.device(device)
        dtype = self.indptr.dtype if dtype is None else dtype
        if dtype not in INDEX_DTYPES:
            raise TypeError(f"dtype must be int32 or int64 but is {dtype}")
        if dtype == torch.int32 and max(self.num_edges, self.num_cols) > torch.iinfo(torch.int32).max:
            raise ValueError(f"{self.num_edges} edges and {self.num_cols} columns do not fit int32")
        if device == self.device and dtype == self.indptr.dtype:
            return self
        to_host = device.type == "cpu"  # who reads there would not wait
        return self._map(lambda t: t.to(device=device, dtype=dtype, non_blocking=not to_host))

    def pin_memory(self) -> CSR:
        """The same graph in page-locked host memory."""
        return self._map(Tensor.pin_memory)

    def reorder(self, method: str) -> tuple[CSR, Tensor]:
        """The same graph with its nodes renumbered so that neighbors lie close together.

        Worth it where the features exceed the caches and the graph has structure to find: measure before relying on it.

        Args:
            method: "rcm" (reverse Cuthill-McKee; needs scipy), "degree" (most edges first) or "community" (label
                propagation, then one community after the other).
        Returns: the graph, each row's neighbors in ascending order, and the permutation [N] int64: new node i is the
            old node permutation[i], so ``x[permutation]`` fits the new graph. ``edge_id`` still leads to the caller's
            edges.
        Raises: ValueError for another method or a graph that is not N x N.
        Cost: on the host; sorts 2 E edges (community: 8 times).
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)} but is {method!r}")
        if self.num_rows != self.num_cols:
            raise ValueError(f"adj must be square but is {self.num_rows} x {self.num_cols}")
        permutation = node_order(self.indptr.cpu(), self.indices.cpu(), method).to(self.device)
        number = torch.empty_like(permutation)
        number[permutation] = torch.arange(self.num_rows, device=self.device)
        number = number.to(self.dtype)
        row, column = number[self.row_index().long()], number[self.indices.long()]
        by_column = torch.ops.graphkern.counting_sort(column, self.num_cols)[1].long()
        indptr, by_row = torch.ops.graphkern.counting_sort(row[by_column], self.num_rows)
        order = by_column[by_row.long()]
        return CSR(indptr, column[order], self.num_cols, edge_id=self.edge_id[order], validate=False), permutation

    def t(self) -> CSR:
        """The M x N transpose, built once and kept; ``t().edge_id`` leads to the same edges, ``t().t() is self``."""
        if self._transpose is not None:
            return self._transpose
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            with torch.inference_mode(False):  # what is kept must serve training too
                return self.t()
        indptr, permutation = torch.ops.graphkern.counting_sort(self.indices, self.num_cols)
        edge_id = permutation if self._edge_id is None else self._edge_id[permutation]
        indices = self.row_index()[permutation]
        transpose = CSR(indptr, indices, self.num_rows, edge_id=edge_id, validate=False)
        object.__setattr__(transpose, "_transpose", self)
        object.__setattr__(self, "_permutation", permutation)
        object.__setattr__(self, "_transpose", transpose)
        return transpose

    def row_index(self) -> Tensor:
        """[E] row of each stored edge. Cost: writes E indices."""
        return row_index(self.indptr, self.num_edges)

    def degree(self) -> Tensor:
        """[N] number of edges of each row, in the index dtype."""
        return self.indptr[1:] - self.indptr[:-1]

    def tensors(self, transpose: bool) -> GraphTensors:
        """The tensors that ops take (see GRAPH_SCHEMA); the transposed half only where a gradient will need it."""
        if not transpose:
            return self.indptr, self.indices, None, None, None, None
        other = self.t()
        if self._permutation is None:  # self was made as the transpose of `other`
            forward = other.tensors(transpose=True)[5]
            assert forward is not None
            positions = torch.arange(self.num_edges, dtype=forward.dtype, device=self.device)
            inverse = torch.empty_like(forward).scatter_(0, forward.long(), positions)
            object.__setattr__(self, "_permutation", inverse)
        return self.indptr, self.indices, None, other.indptr, other.indices, self._permutation

    def ordered_tensors(self, transpose: bool) -> tuple[Tensor | None, ...]:
        """The tensors of ORDERED_GRAPH_SCHEMA; the transposed half only where a gradient will need it."""
        indptr, indices, _edge, *transposed = self.tensors(transpose)
        return indptr, indices, *transposed

    @property
    def edge_id(self) -> Tensor:
        if self._edge_id is None:
            return torch.arange(self.num_edges, dtype=self.indptr.dtype, device=self.device)
        return self._edge_id

    @property
    def num_rows(self) -> int:
        return self.indptr.shape[0] - 1

    @property
    def num_edges(self) -> int:
        return self.indices.shape[0]

    @property
    def device(self) -> torch.device:
        return self.indices.device

    @property
    def dtype(self) -> torch.dtype:
        return self.indices.dtype

    def __repr__(self) -> str:
        shape = f"{self.num_rows} x {self.num_cols}, {self.num_edges} edges"
        return f"CSR({shape}, {str(self.dtype).removeprefix('torch.')}, {self.device})"

    def _map(self, function: Callable[[Tensor], Tensor]) -> CSR:
        edge_id = None if self._edge_id is None else function(self._edge_id)
        return CSR(function(self.indptr), function(self.indices), self.num_cols, edge_id=edge_id, validate=False)


def _check_layout(indptr: Tensor, indices: Tensor, num_cols: int, edge_id: Tensor | None) -> None:
    _check_index_dtype(indptr, "indptr")
    _check_index_dtype(indices, "indices")
    if indptr.dtype != indices.dtype:
        raise TypeError(f"indptr is {indptr.dtype} but indices is {indices.dtype}")
    if indptr.dim() != 1 or indptr.shape[0] < 1:
        raise ValueError(f"indptr must be [N + 1] but is {list(indptr.shape)}")
    if indices.dim() != 1:
        raise ValueError(f"indices must be [E] but is {list(indices.shape)}")
    if indptr.device != indices.device:
        raise ValueError(f"indptr is on {indptr.device} but indices is on {indices.device}")
    if num_cols < 0:
        raise ValueError(f"num_cols must not be negative but is {num_cols}")
    if edge_id is not None and edge_id.shape != indices.shape:
        raise ValueError(f"edge_id is {list(edge_id.shape)} but there are {indices.shape[0]} edges")


def _check_values(indptr: Tensor, indices: Tensor, num_cols: int) -> None:
    """ValueError; a compiled graph looks at each call and raises RuntimeError."""
    if torch.compiler.is_compiling():
        ordered = (indptr[1:] >= indptr[:-1]).all() & (indptr[0] == 0) & (indptr[-1] == indices.shape[0])
        torch._assert_async(ordered, "indptr does not rise from 0 to the number of edges")
        check_range(indices, num_cols, "indices")
        return
    first, last = int(indptr[0]), int(indptr[-1])
    if first != 0 or last != indices.shape[0]:
        raise ValueError(f"indptr must run from 0 to {indices.shape[0]} (edges) but runs from {first} to {last}")
    falls = indptr[1:] < indptr[:-1]
    if bool(falls.any()):
        row = int(falls.to(torch.uint8).argmax())
        raise ValueError(f"indptr must not decrease but indptr[{row + 1}] < indptr[{row}]")
    check_range(indices, num_cols, "indices")


def _check_index_dtype(index: Tensor, name: str) -> None:
    if index.dtype not in INDEX_DTYPES:
        raise TypeError(f"{name} must be int32 or int64 but is {index.dtype}")


def check_range(index: Tensor, size: int, name: str) -> None:
    """ValueError unless each value is in [0, size). Reads them; a compiled graph does so and raises RuntimeError."""
    if torch.compiler.is_compiling():
        torch._assert_async(((index >= 0) & (index < size)).all(), f"{name} is out of range")
        return
    if index.numel() == 0:
        return
    low, high = (int(bound) for bound in torch.aminmax(index))
    if low < 0 or high >= size:
        raise ValueError(f"{name} must be in [0, {size}) but runs from {low} to {high}")


def _flatten(adj: CSR) -> tuple[list[Any], int]:
    return [adj.indptr, adj.indices, adj._edge_id], adj.num_cols


def _flatten_with_keys(adj: CSR) -> tuple[list[tuple[pytree.KeyEntry, Any]], int]:
    children, num_cols = _flatten(adj)
    names = ("indptr", "indices", "edge_id")
    return [(pytree.GetAttrKey(name), child) for name, child in zip(names, children, strict=True)], num_cols


def _unflatten(children: Iterable[Any], num_cols: int) -> CSR:
    indptr, indices, edge_id = children
    return CSR(indptr, indices, num_cols, edge_id=edge_id, validate=False)


pytree.register_pytree_node(
    CSR, _flatten, _unflatten, flatten_with_keys_fn=_flatten_with_keys, serialized_type_name="graphkern.CSR"
)
