"""Graphs that layers derive from a graph. Each is built on first need and kept with the graph it comes from."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphkern.csr import CSR, INDEX_DTYPES, check_range, row_index
from graphkern.nn.arguments import reduce_of
from graphkern.ops import spmm

T = TypeVar("T")


def with_self_loops(adj: CSR) -> CSR:
    """The graph without its loops, and then one loop at each node that is both a row and a column.

    Args:
        adj: N x M, E edges. Node i is row i and column i.
    Returns: an N x M graph, the same object at each call. The loop of node i is the last edge of row i. Its edge_id
        holds positions in the CSR order of adj, and E + i for the loop of node i.
    Cost: one counting sort. The result (2 E + 3 N indices, and a transpose where gradients are taken) lives as long
        as adj.
    """

    def build() -> CSR:
        row, num_loops = adj.row_index(), min(adj.num_rows, adj.num_cols)
        dtype = _index_dtype(adj, adj.num_edges + num_loops)
        edge = torch.nonzero(row != adj.indices).flatten().to(dtype)
        node = torch.arange(num_loops, dtype=dtype, device=adj.device)
        indptr, order = torch.ops.graphkern.counting_sort(torch.cat([row[edge].to(dtype), node]), adj.num_rows)
        indices = torch.cat([adj.indices[edge].to(dtype), node])[order]
        edge_id = torch.cat([edge, adj.num_edges + node])[order]
        return CSR(indptr, indices, adj.num_cols, edge_id=edge_id, validate=False)

    return kept(adj, "with_self_loops", build)


def looped_features(adj: CSR, edge_attr: Tensor, fill_value: float | Tensor | str) -> Tensor:
    """Features of the edges of with_self_loops(adj).

    Args:
        adj: N x M, E edges.
        edge_attr: [E, F] in the CSR order of adj.
        fill_value: features of an added loop: a number, an [F] tensor, or the reduce ("add", "sum", "mean", "max",
            "min") over the edges that enter the node, its former loops left out.
    Returns: [E', F] in the CSR order of with_self_loops(adj).
    Raises: NotImplementedError for another string.
    Cost: 2 E F values.
    """
    looped, num_loops = with_self_loops(adj), min(adj.num_rows, adj.num_cols)

    def entering() -> CSR:
        """N x E: the edges of each row, without loops."""
        loops_before = torch.arange(adj.num_rows + 1, dtype=looped.dtype, device=adj.device).clamp(max=num_loops)
        edge = looped.edge_id[looped.edge_id < adj.num_edges]
        return CSR(looped.indptr - loops_before, edge, adj.num_edges, validate=False)

    def source() -> CSR:
        """E' x (E + loops): where each edge has its features from."""
        one_each = torch.arange(looped.num_edges + 1, dtype=looped.dtype, device=adj.device)
        return CSR(one_each, looped.edge_id, adj.num_edges + num_loops, validate=False)

    if isinstance(fill_value, Tensor):
        loops = fill_value.to(edge_attr).expand(num_loops, edge_attr.shape[1])
    elif isinstance(fill_value, str):
        loops = spmm(kept(adj, "entering", entering), edge_attr, reduce=reduce_of(fill_value))[:num_loops]
    else:
        loops = edge_attr.new_full((num_loops, edge_attr.shape[1]), fill_value)
    return spmm(kept(looped, "source", source), torch.cat([edge_attr, loops]))


def sum_of_ends(adj: CSR, x_src: Tensor, x_dst: Tensor) -> Tensor:
    """out[e] = x_src[indices[e]] + x_dst[row(e)].

    Args:
        adj: N x M, E edges.
        x_src: [M, F]. x_dst: [N, F].
    Returns: [E, F] in CSR order.
    Cost: E F values, and 3 E indices (7 E + N + M where gradients are taken) that live as long as adj.
    """

    def build() -> CSR:
        """E x (M + N): the column and the row of each edge."""
        dtype = _index_dtype(adj, max(2 * adj.num_edges, adj.num_cols + adj.num_rows))
        indptr = torch.arange(0, 2 * adj.num_edges + 1, 2, dtype=dtype, device=adj.device)
        ends = torch.stack([adj.indices.to(dtype), adj.row_index().to(dtype) + adj.num_cols], 1).flatten()
        return CSR(indptr, ends, adj.num_cols + adj.num_rows, validate=False)

    return spmm(kept(adj, "ends", build), torch.cat([x_src, x_dst]))


def edges_of_rows(adj: CSR) -> CSR:
    """The N x E graph whose row i has the edges of row i as its neighbors: spmm over it reduces edge features."""

    def build() -> CSR:
        edge = torch.arange(adj.num_edges, dtype=adj.dtype, device=adj.device)
        return CSR(adj.indptr, edge, adj.num_edges, validate=False)

    return kept(adj, "edges_of_rows", build)


class Relations(NamedTuple):
    """The edges of an N x M graph in P groups, one for each pair of relation and row with an edge, in that order."""

    groups: CSR  # P x M: the neighbors of each group
    indptr: Tensor  # [R + 1]: the groups of each relation
    rows: CSR  # N x P: the groups of each row

    def share(self, dtype: torch.dtype) -> Tensor:
        """[P] 1 / the number of neighbors of the group, in the CSR order of rows: it makes sums to means."""
        return kept(self.rows, f"share {dtype}", lambda: self.groups.degree()[self.rows.indices].to(dtype).reciprocal())

    def typed(self) -> CSR:
        """P x (R M): groups with column relation * M + source, for features that differ by relation."""

        def build() -> CSR:
            groups, num_relations = self.groups, self.indptr.shape[0] - 1
            dtype = _index_dtype(groups, num_relations * groups.num_cols)
            relation = row_index(self.indptr, groups.num_rows).to(dtype)
            indices = relation[groups.row_index()] * groups.num_cols + groups.indices
            return CSR(groups.indptr.to(dtype), indices, num_relations * groups.num_cols, validate=False)

        return kept(self.groups, "typed", build)


def by_relation(adj: CSR, edge_type: Tensor, num_relations: int) -> Relations:
    """Group the edges by relation and row.

    Args:
        adj: N x M, E edges.
        edge_type: [E] relation of each edge in CSR order, int32 or int64, each in [0, num_relations). It must not be
            changed in place afterwards: adj keeps the groups of the edge_type object that came last.
        num_relations: R.
    Raises: TypeError for another dtype; ValueError for another shape or a relation out of range.
    Cost: two counting sorts; E + 3 P + N + R indices, and two transposes where gradients are taken.
    """
    relations: Relations
    found = adj.derived.get("relations")
    if found is not None and found[0] is edge_type and found[1] == num_relations:
        relations = found[2]
    else:
        _check_relations(adj, edge_type, num_relations)
        with torch.inference_mode(False):
            relations = _group(adj, edge_type.to(adj.dtype), num_relations)
        adj.derived["relations"] = edge_type, num_relations, relations
    return relations


def _check_relations(adj: CSR, edge_type: Tensor, num_relations: int) -> None:
    if edge_type.dtype not in INDEX_DTYPES:
        raise TypeError(f"edge_type must be int32 or int64 but is {edge_type.dtype}")
    if edge_type.shape != (adj.num_edges,):
        raise ValueError(f"edge_type must be [{adj.num_edges}] but is {list(edge_type.shape)}")
    check_range(edge_type, num_relations, "edge_type")


def _group(adj: CSR, edge_type: Tensor, num_relations: int) -> Relations:
    sort = torch.ops.graphkern.counting_sort
    _, order = sort(edge_type, num_relations)
    relation, row = edge_type[order], adj.row_index()[order]
    is_new = (relation[1:] != relation[:-1]) | (row[1:] != row[:-1])
    first = torch.nonzero(pad(is_new, (1, 0), value=True)[: adj.num_edges]).flatten()
    end = first.new_full((1,), adj.num_edges)
    groups = CSR(torch.cat([first, end]).to(adj.dtype), adj.indices[order], adj.num_cols, validate=False)
    indptr, group = sort(row[first], adj.num_rows)
    rows = CSR(indptr, group, groups.num_rows, validate=False)
    return Relations(groups, sort(relation[first], num_relations)[0], rows)


def kept(adj: CSR, name: str, build: Callable[[], T]) -> T:
    """What build makes of adj: once, and from then on what is kept with adj under that name."""
    found = adj.derived.get(name)
    if found is None:
        with torch.inference_mode(False), torch.no_grad():  # a training step may use what an evaluation built
            found = adj.derived[name] = build()
    return found


def _index_dtype(adj: CSR, size: int) -> torch.dtype:
    """The dtype of adj, or int64 where its values would not reach size."""
    if adj.dtype == torch.int64:  # no question of size for a compiler to remember
        return torch.int64
    return adj.dtype if size <= torch.iinfo(adj.dtype).max else torch.int64
