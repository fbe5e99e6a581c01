"""Sparse-dense products by graphkern.spmm, and what it leaves out: batches, integers, positions of extrema.

columns, batched, messages and integer_extremum are written so that TorchScript compiles them too.
"""

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
    flat = columns(mat, value, adj.num_edges)
    if mat.is_floating_point():
        out = spmm(adj, flat, None if value is None else value.to(mat.dtype), reduce)
    else:
        out = segment(messages(flat, adj.indices, value), adj.indptr, reduce)
    return batched(out, mat)


def extremum(adj: CSR, value: Tensor | None, mat: Tensor, reduce: str) -> tuple[Tensor, Tensor]:
    """As product, for min and max, and the edge that gave each number; E in a row without edges."""
    flat = columns(mat, value, adj.num_edges)
    if mat.is_floating_point():
        needs_grad = torch.is_grad_enabled() and (mat.requires_grad or (value is not None and value.requires_grad))
        weight = None if value is None else value.to(mat.dtype).unsqueeze(1)
        out, arg = SPMM_EXTREMUM(*adj.ordered_tensors(needs_grad), flat, weight, reduce, True)
        arg = arg.masked_fill(arg < 0, adj.num_edges)
    else:
        out, arg = integer_extremum(messages(flat, adj.indices, value), adj.indptr, reduce)
    return batched(out, mat), batched(arg, mat)


def columns(mat: Tensor, value: Tensor | None, num_edges: int) -> Tensor:
    """mat [*, M, F] as [M, B F]; value must be [E]."""
    if mat.dim() < 2:
        raise ValueError(f"the dense matrix must be [*, M, F] but is {mat.shape}")
    if value is not None and (value.dim() != 1 or value.numel() != num_edges):
        raise ValueError(f"value must be [{num_edges}] but is {value.shape}")
    return mat if mat.dim() == 2 else mat.movedim(-2, 0).flatten(1)


def batched(out: Tensor, mat: Tensor) -> Tensor:
    """[N, B F] as [*, N, F]"""
    if mat.dim() == 2:
        return out
    sizes = list(mat.size())
    sizes[-2] = out.size(0)
    return out.view([out.size(0)] + sizes[:-2] + sizes[-1:]).movedim(0, -2)  # noqa: RUF005


def messages(flat: Tensor, col: Tensor, value: Tensor | None) -> Tensor:
    """[E, B F]"""
    return flat[col] if value is None else flat[col] * value.to(flat.dtype).unsqueeze(1)


def integer_extremum(message: Tensor, rowptr: Tensor, reduce: str) -> tuple[Tensor, Tensor]:
    num_edges = message.size(0)
    out = segment(message, rowptr, reduce)
    row = ptr2ind(rowptr, num_edges)
    edge = torch.arange(num_edges, device=message.device).unsqueeze(1).expand_as(message)
    edge = torch.where(message == out[row], edge, num_edges)
    arg = torch.full_like(out, num_edges, dtype=torch.long)
    return out, arg.scatter_reduce(0, row.unsqueeze(1).expand_as(message), edge, "amin")


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
