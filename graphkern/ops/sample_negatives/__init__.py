"""Columns that a row does not have, uniform and exact however full the row is."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check, _sample
from graphkern.ops._column_sets import column_sets
from graphkern.ops.sample_negatives.reference import sample_negatives as reference

_KEY = 0x6E656761  # sets these draws apart from those of other ops with the same seed


def sample_negatives(adj: CSR, rows: Tensor, num: int, seed: int = 0) -> Tensor:
    """Draw columns that are not in a row, uniformly and independently (with replacement).

    Args:
        adj: N x M, M < 2^32. Memory-mapped tensors will do.
        rows: [R] int32 or int64, each in [0, N). A repeated row gets draws of its own.
        num: draws a row.
        seed: any int64; the result is a function of the arguments alone, whatever the number of threads.
    Returns: [R, num] index dtype of adj. On CUDA, where nobody waits to see it, -1 for a row that has every column.
    Raises: TypeError for a dtype; ValueError for a row out of range, a negative num, a row that has every column (not
        on CUDA), 2^32 columns or more.
    Cost: O(log of its columns) a draw: draws r below the number of absent columns and finds the r-th of them. The first
        call on a graph builds `column_sets`, unless its rows are sorted (see there); without them each call sorts rows
        that need it. No gradient.
    Source: Philox and unbiased bounds: see sample_neighbors.
    """
    _check.is_csr(adj)
    _check.index(rows, "rows", adj.num_rows)
    _check.same_device(adj, rows, "rows")
    _sample.random_seed(seed)
    if num < 0:
        raise ValueError(f"num must not be negative but is {num}")
    if adj.num_cols >= 2**32:
        raise ValueError(f"adj must have fewer than 2^32 columns but has {adj.num_cols}")
    sets = column_sets(adj)
    indptr, indices = (adj.indptr, adj.indices) if sets is None else sets
    if not torch.compiler.is_compiling() and adj.device.type == "cpu" and _may_be_full(adj):
        _not_full(indptr, indices, adj.num_cols, rows)
    rows = rows.to(adj.dtype)
    return SAMPLE_NEGATIVES(indptr, indices, adj.num_cols, rows, num, sets is not None, seed ^ _KEY)


def _may_be_full(adj: CSR) -> bool:
    """Whether any row has as many edges as there are columns. Looked up once a graph."""
    if adj.num_edges < adj.num_cols:
        return False
    if "longest_row" not in adj.derived:
        adj.derived["longest_row"] = int(adj.degree().max()) if adj.num_rows else 0
    return adj.derived["longest_row"] >= adj.num_cols


def _not_full(indptr: Tensor, indices: Tensor, num_cols: int, rows: Tensor) -> None:
    may_be_full = indptr[rows + 1] - indptr[rows] >= num_cols
    for row in rows[may_be_full].unique().tolist():
        if indices[indptr[row] : indptr[row + 1]].unique().shape[0] == num_cols:
            raise ValueError(f"row {row} has every column: there is none to draw")


def _fake(indptr: Tensor, indices: Tensor, num_cols: int, rows: Tensor, num: int, distinct: bool, seed: int) -> Tensor:
    return indices.new_empty(rows.shape[0], num)


SAMPLE_NEGATIVES = Op(
    "sample_negatives",
    "(Tensor indptr, Tensor indices, int num_cols, Tensor rows, int num, bool distinct, int seed) -> Tensor",
    reference=reference,
    fake=_fake,
)
