from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import row_index
from graphkern.ops._dtype import accumulate_dtype


def sddmm(
    indptr: Tensor,
    indices: Tensor,
    edge: Tensor | None,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    q: Tensor,
    k: Tensor,
    heads: int,
) -> Tensor:
    """q: [N, F], k: [M, F], heads divides F. Returns [E, heads], stored edge e at row edge[e] (or e)."""
    num_edges = indices.shape[0]
    row = row_index(indptr, num_edges)
    accumulate = accumulate_dtype(q.dtype)
    product = q[row].to(accumulate) * k[indices.long()].to(accumulate)
    out = product.view(num_edges, heads, q.shape[1] // heads).sum(-1).to(q.dtype)
    return out if edge is None else torch.empty_like(out).index_copy(0, edge.long(), out)
