"""Sparse-dense products by graphkern.spmm, and what it leaves out: batches, integers, positions of extrema."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat._graph import graph_of
from graphkern.compat.torch_sparse.utils import ptr2ind, segment
from graphkern.csr import CSR
from graphkern.ops import spmm
from graphkern.ops.spmm_extremum import SPMM_EXTREMUM


def product(adj: CSR, value: Tensor | None, mat: Tensor, reduce: str) -> Tensor:
    """[*, N, F]: reduce over the edges of each row of value [E] times rows of mat [*, M, F]."""
    flat = _flat(adj, value, mat)
    if mat.is_floating_point():
        out = spmm(adj, flat, None if value is None else value.to(mat.dtype), reduce)
    else:
        out = segment(_messages(adj, value, flat), adj.indptr, reduce)
    return _batched(out, mat)


def extremum(adj: CSR, value: Tensor | None, mat: Tensor, reduce: str) -> tuple[Tensor, Tensor]:
    """As product, for min and max, and the edge that gave each number; E in a row without edges."""
    flat = _flat(adj, value, mat)
    if mat.is_floating_point():
        inputs = (mat,) if value is None else (mat, value)
        needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        weight = None if value is None else value.to(mat.dtype).unsqueeze(1)
        out, arg = SPMM_EXTREMUM(*adj.ordered_tensors(needs_grad), flat, weight, reduce, True)
        arg = arg.masked_fill(arg < 0, adj.num_edges)
    else:
        messages = _messages(adj, value, flat)
        out = segment(messages, adj.indptr, reduce)
        row = ptr2ind(adj.indptr, adj.num_edges)
        edge = torch.arange(adj.num_edges, device=mat.device)[:, None].expand_as(messages)
        edge = torch.where(messages == out[row], edge, adj.num_edges)
        arg = torch.full_like(out, adj.num_edges, dtype=torch.long)
        arg = arg.scatter_reduce(0, row[:, None].expand_as(messages), edge, "amin")
    return _batched(out, mat), _batched(arg, mat)


def _flat(adj: CSR, value: Tensor | None, mat: Tensor) -> Tensor:
    """[M, B F]"""
    if mat.dim() < 2 or mat.shape[-2] != adj.num_cols:
        raise ValueError(f"the dense matrix must be [*, {adj.num_cols}, F] but is {list(mat.shape)}")
    if value is not None and value.shape != (adj.num_edges,):
        raise ValueError(f"value must be [{adj.num_edges}] but is {list(value.shape)}")
    return mat if mat.dim() == 2 else mat.movedim(-2, 0).flatten(1)


def _batched(out: Tensor, mat: Tensor) -> Tensor:
    """[N, B F] as [*, N, F]"""
    return out if mat.dim() == 2 else out.reshape(out.shape[0], *mat.shape[:-2], mat.shape[-1]).movedim(0, -2)


def _messages(adj: CSR, value: Tensor | None, flat: Tensor) -> Tensor:
    messages = flat[adj.indices]
    return messages if value is None else messages * value.to(flat.dtype)[:, None]


def spmm_sum(
    row: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    value: Tensor | None,
    colptr: Tensor | None,
    csr2csc: Tensor | None,
    mat: Tensor,
) -> Tensor:
    """[*, N, F]: the product with mat [*, M, F]; differentiable in value and mat.

    Only rowptr and col are read: their transpose is built on first need and kept with them.
    """
    return product(graph_of(rowptr, col, _columns(mat)), value, mat, "sum")


def spmm_mean(
    row: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    value: Tensor | None,
    rowcount: Tensor | None,
    colptr: Tensor | None,
    csr2csc: Tensor | None,
    mat: Tensor,
) -> Tensor:
    """As spmm_sum, divided by the number of entries of each row."""
    return product(graph_of(rowptr, col, _columns(mat)), value, mat, "mean")


def spmm_min(rowptr: Tensor, col: Tensor, value: Tensor | None, mat: Tensor) -> tuple[Tensor, Tensor]:
    return extremum(graph_of(rowptr, col, _columns(mat)), value, mat, "min")


def spmm_max(rowptr: Tensor, col: Tensor, value: Tensor | None, mat: Tensor) -> tuple[Tensor, Tensor]:
    return extremum(graph_of(rowptr, col, _columns(mat)), value, mat, "max")


def _columns(mat: Tensor) -> int:
    if mat.dim() < 2:
        raise ValueError(f"the dense matrix must be [*, M, F] but is {list(mat.shape)}")
    return mat.shape[-2]
