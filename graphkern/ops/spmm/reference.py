from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import row_index
from graphkern.ops._dtype import accumulate_dtype


def spmm(
    indptr: Tensor,
    indices: Tensor,
    edge: Tensor | None,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    x: Tensor,
    weight: Tensor | None,
    reduce: str,
) -> Tensor:
    """x: [M, F]; weight: [rows, H] read at edge[e] (or e), H divides F; reduce: sum or mean. Returns [N, F]."""
    num_rows, degree = indptr.shape[0] - 1, (indptr[1:] - indptr[:-1]).long()
    row = row_index(indptr, indices.shape[0])
    accumulate = accumulate_dtype(x.dtype)
    message = x[indices.long()].to(accumulate)
    if weight is not None:
        per_edge = weight if edge is None else weight[edge.long()]
        heads = weight.shape[1]
        per_head = message.view(indices.shape[0], heads, x.shape[1] // heads) * per_edge.to(accumulate)[:, :, None]
        message = per_head.view_as(message)
    out = torch.zeros(num_rows, x.shape[1], dtype=accumulate, device=x.device).index_add(0, row, message)
    if reduce == "mean":
        out = out / degree.clamp(min=1)[:, None]
    return out.to(x.dtype)
