"""What a user would call without graphkern, for each public function. Same arguments, same result."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphkern import CSR


def _torch_sparse(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Callable[[], Tensor]:
    values = torch.ones(adj.num_edges, dtype=x.dtype) if weight is None else weight
    matrix = torch.sparse_csr_tensor(adj.indptr, adj.indices, values, (adj.num_rows, adj.num_cols))
    reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)
    return lambda: torch.sparse.mm(matrix, x, reduce)


def _scatter(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Callable[[], Tensor]:
    row, column = adj.row_index().long(), adj.indices.long()
    how = {"max": "amax", "min": "amin"}.get(reduce, reduce)

    def call() -> Tensor:
        message = x[column] if weight is None else x[column] * weight[:, None]
        index = row[:, None].expand_as(message)
        return x.new_zeros(adj.num_rows, x.shape[1]).scatter_reduce(0, index, message, how, include_self=False)

    return call


def _gather_dot(adj: CSR, q: Tensor, k: Tensor) -> Callable[[], Tensor]:
    row, column = adj.row_index().long(), adj.indices.long()
    return lambda: (q[row] * k[column]).sum(-1)


def _cross_entropy(query: Tensor, key: Tensor, target: Tensor | None, temperature: float, bias: Tensor | None):
    if target is None:
        target = torch.arange(query.shape[0])
    offset = 0 if bias is None else bias
    return lambda: torch.nn.functional.cross_entropy(query @ key.T / temperature + offset, target, reduction="none")


def _matmul_topk(query: Tensor, item: Tensor, k: int, exclude: CSR | None = None):
    def call() -> tuple[Tensor, Tensor]:
        scores = query @ item.T
        if exclude is not None:
            scores[exclude.row_index().long(), exclude.indices.long()] = -torch.inf
        values, index = scores.topk(k)
        return values, index

    return call


def _argsort(index: Tensor, num_bins: int):
    def call() -> tuple[Tensor, Tensor]:
        count = torch.bincount(index, minlength=num_bins).cumsum(0)
        return torch.cat([count.new_zeros(1), count]), torch.argsort(index, stable=True)

    return call


PEERS: dict[str, dict[str, Callable]] = {
    "spmm": {"torch.sparse.mm": _torch_sparse, "gather + scatter_reduce": _scatter},
    "sddmm": {"gather + sum": _gather_dot},
    "info_nce": {"matmul + cross_entropy": _cross_entropy},
    "topk_scores": {"matmul + mask + topk": _matmul_topk},
    "counting_sort": {"bincount + argsort": _argsort},
    "sample_neighbors": {},
}
