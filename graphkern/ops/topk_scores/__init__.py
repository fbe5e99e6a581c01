"""Exact top-k of inner products with seen items left out, without the score matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check
from graphkern.ops.topk_scores.reference import topk_scores as reference


def topk_scores(query: Tensor, item: Tensor, k: int, exclude: CSR | None = None) -> tuple[Tensor, Tensor]:
    """The k items with the largest inner product for each query, best first.

    Args:
        query: [B, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        item: [N, D], same dtype.
        k: 1 <= k <= N.
        exclude: B x N; the stored columns of row b are not returned for query b.
    Returns:
        values [B, k] in the dtype of query and indices [B, k] int64. Ties go to the lower index. NaN and -inf scores
        are never returned; a row with fewer than k items left ends in value -inf, index -1.
    Raises: TypeError for an integer or mixed dtype; ValueError for a wrong shape, device or k.
    Cost: 2 B N D operations; memory beyond the results is a fixed size a thread, whatever B and N. No gradient.
    """
    _check.floating(query=query, item=item)
    if query.dim() != 2 or item.dim() != 2 or query.shape[1] != item.shape[1]:
        raise ValueError(f"query must be [B, D] and item [N, D] but are {list(query.shape)} and {list(item.shape)}")
    if not 1 <= k <= item.shape[0]:
        raise ValueError(f"k must be in [1, {item.shape[0]}] but is {k}")
    if exclude is None:
        return TOPK_SCORES(query.detach(), item.detach(), k, None, None)
    _check.is_csr(exclude)
    _check.same_device(exclude, query, "query")
    if (exclude.num_rows, exclude.num_cols) != (query.shape[0], item.shape[0]):
        shape = f"{exclude.num_rows} x {exclude.num_cols}"
        raise ValueError(f"exclude must be {query.shape[0]} x {item.shape[0]} but is {shape}")
    return TOPK_SCORES(query.detach(), item.detach(), k, exclude.indptr, exclude.indices)


def _fake(query: Tensor, item: Tensor, k: int, indptr, indices) -> tuple[Tensor, Tensor]:
    values = query.new_empty(query.shape[0], k)
    return values, values.new_empty(values.shape, dtype=torch.int64)


TOPK_SCORES = Op(
    "topk_scores",
    "(Tensor query, Tensor item, int k, Tensor? indptr, Tensor? indices) -> (Tensor, Tensor)",
    reference=reference,
    fake=_fake,
)
