"""The columns of each row as a set that binary search can ask: made once a graph and kept with it."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import CSR

MOST_EDGES = 2**28  # of a graph whose rows are looked through and may be copied; larger ones may not fit memory


def column_sets(adj: CSR) -> tuple[Tensor, Tensor] | None:
    """indptr [N + 1] and indices [at most E]: the columns of each row in ascending order, each once.

    Those of adj itself where its rows are like that. None while compiling and beyond MOST_EDGES edges.
    Cost: the first call on a graph reads its edges once, and where its rows are not sorted, or have parallel edges,
    sorts them twice by counting and keeps N + E indices.
    """
    if torch.compiler.is_compiling() or adj.num_edges > MOST_EDGES:
        return None
    if "column_sets" not in adj.derived:
        with torch.inference_mode(False), torch.no_grad():
            found = (adj.indptr, adj.indices) if _are_sets(adj) else _build(adj)
        adj.derived["column_sets"] = found
    return adj.derived["column_sets"]


def _are_sets(adj: CSR) -> bool:
    rising = adj.indices[1:] > adj.indices[:-1]
    begins = adj.indptr[1:-1].long()
    rising[begins[(begins > 0) & (begins < adj.num_edges)] - 1] = True
    return bool(rising.all())


def _build(adj: CSR) -> tuple[Tensor, Tensor]:
    sort = torch.ops.graphkern.counting_sort
    by_column = sort(adj.indices, adj.num_cols)[1]
    row = adj.row_index()[by_column]
    indptr, by_row = sort(row, adj.num_rows)
    row, column = row[by_row], adj.indices[by_column[by_row]]
    is_first = torch.ones_like(row, dtype=torch.bool)
    is_first[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
    if bool(is_first.all()):
        return indptr, column
    return sort(row[is_first], adj.num_rows)[0], column[is_first]
