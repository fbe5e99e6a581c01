"""Stored edges are numbered by their position in CSR order; (t_indptr, t_indices, t_edge) is the transpose."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import row_index
from graphkern.ops._dtype import accumulate_dtype


def _message(x: Tensor, rows: Tensor, weight: Tensor | None) -> Tensor:
    """[E, F]: weight * x[rows] in the accumulation dtype."""
    message = x[rows.long()].to(accumulate_dtype(x.dtype))
    if weight is None:
        return message
    heads = weight.shape[1]
    per_head = message.view(rows.shape[0], heads, x.shape[1] // heads) * weight.to(message.dtype)[:, :, None]
    return per_head.view_as(message)


def spmm_extremum(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    x: Tensor,
    weight: Tensor | None,
    reduce: str,
    keep_arg: bool,
) -> tuple[Tensor, Tensor]:
    """out [N, F], and arg [N, F]: the edge that gave it, the first of equals, -1 in a row without edges.

    Without keep_arg, which gradients need, arg is [0, F].
    """
    num_rows, num_edges = indptr.shape[0] - 1, indices.shape[0]
    message = _message(x, indices, weight)
    row = row_index(indptr, num_edges).long()[:, None].expand_as(message)
    out = message.new_zeros(num_rows, x.shape[1])
    out = out.scatter_reduce(0, row, message, "amax" if reduce == "max" else "amin", include_self=False)
    hit = (message == out.gather(0, row)) | message.isnan()
    position = torch.arange(num_edges, device=x.device)[:, None].expand_as(message)
    arg = torch.full(out.shape, num_edges, device=x.device)
    arg = arg.scatter_reduce(0, row, torch.where(hit, position, num_edges), "amin")
    arg = torch.where(arg == num_edges, -1, arg).to(indices.dtype)
    return out.to(x.dtype), arg if keep_arg else arg.new_empty(0, x.shape[1])


def spmm_extremum_grad_x(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor,
    t_indices: Tensor,
    t_edge: Tensor,
    grad: Tensor,
    arg: Tensor,
    weight: Tensor | None,
) -> Tensor:
    """[M, F]: for each column, the sum of weight * grad over its edges, where the edge won."""
    per_edge = None if weight is None else weight[t_edge.long()]
    wins = arg[t_indices.long()] == t_edge[:, None]
    message = torch.where(wins, _message(grad, t_indices, per_edge), 0)
    out = message.new_zeros(t_indptr.shape[0] - 1, grad.shape[1])
    return out.index_add(0, row_index(t_indptr, indices.shape[0]), message).to(grad.dtype)


def spmm_extremum_grad_weight(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor,
    t_indices: Tensor,
    t_edge: Tensor,
    grad: Tensor,
    arg: Tensor,
    x: Tensor,
    heads: int,
) -> Tensor:
    """[E, heads]: for each edge, the sum over the features it won of grad[row] * x[column]."""
    num_edges = indices.shape[0]
    row = row_index(indptr, num_edges)
    wins = arg[row] == torch.arange(num_edges, device=x.device)[:, None]
    product = torch.where(wins, _message(grad, row, None) * _message(x, indices, None), 0)
    return product.view(num_edges, heads, x.shape[1] // heads).sum(-1).to(x.dtype)
