"""Exact top-k of inner products with seen items left out, without the score matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.topk_scores.reference import topk_scores as reference


def topk_scores(
    query: Tensor,
    item: Tensor,
    k: int,
    exclude: CSR | None = None,
    *,
    item_mask: Tensor | None = None,
    item_scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The k items with the largest inner product for each query, best first.

    Args:
        query: [B, D]; float32, float64, float16 or bfloat16 (halves accumulate in float32).
        item: [N, D]: any floating dtype, but float64 only with a float64 query; or int8 with item_scale. It is
            widened on the way, never copied.
        k: 1 <= k <= N.
        exclude: B x N; the stored columns of row b are not returned for query b, in any order, once or more often.
        item_mask: [N] bool; items that are False are not returned.
        item_scale: [N], any floating dtype: score[b, n] = query[b] . item[n] * item_scale[n]. For int8 items
            `scale = x.abs().amax(1) / 127; item = (x / scale[:, None]).round().to(torch.int8)`.
    Returns:
        values [B, k] in the dtype of query and indices [B, k] int64. Ties go to the lower index. NaN and -inf scores
        are never returned; a row with fewer than k items left ends in value -inf, index -1. On the CPU a row's bits
        depend on its query, the items and the instruction set alone: neither on the batch nor on the threads.
    Raises: TypeError for a dtype; ValueError for a wrong shape, device or k, or int8 without item_scale.
    Cost: 2 B N D operations; memory beyond the results is a fixed size a thread for a k, whatever B and N (rows of
        exclude that do not rise are sorted in copies, some at a time). No gradient.
    """
    _check.floating(query=query)
    if not isinstance(item, Tensor) or item.dtype not in (*_check.FLOAT_DTYPES, torch.int8):
        got = item.dtype if isinstance(item, Tensor) else type(item).__name__
        raise TypeError(f"item must be float32, float64, float16, bfloat16 or int8 but is {got}")
    if item.dtype == torch.float64 != query.dtype:
        raise TypeError(f"item is torch.float64 but query is {query.dtype}")
    if query.dim() != 2 or item.dim() != 2 or query.shape[1] != item.shape[1]:
        raise ValueError(f"query must be [B, D] and item [N, D] but are {list(query.shape)} and {list(item.shape)}")
    if item.device != query.device:
        raise ValueError(f"item is on {item.device} but query is on {query.device}")
    if not 1 <= k <= item.shape[0]:
        raise ValueError(f"k must be in [1, {item.shape[0]}] but is {k}")
    if item.dtype == torch.int8 and item_scale is None:
        raise ValueError("int8 items need item_scale, one number a row")
    if item_scale is not None:
        _of_items(item_scale, "item_scale", item)
        _check.floating(item_scale=item_scale)
        item_scale = item_scale.detach().to(accumulate_dtype(query.dtype))
    if item_mask is not None:
        _of_items(item_mask, "item_mask", item)
        if item_mask.dtype != torch.bool:
            raise TypeError(f"item_mask must be bool but is {item_mask.dtype}")
    indptr = indices = None
    if exclude is not None:
        _check.is_csr(exclude)
        _check.same_device(exclude, query, "query")
        if (exclude.num_rows, exclude.num_cols) != (query.shape[0], item.shape[0]):
            shape = f"{exclude.num_rows} x {exclude.num_cols}"
            raise ValueError(f"exclude must be {query.shape[0]} x {item.shape[0]} but is {shape}")
        indptr, indices = exclude.indptr, exclude.indices
    return TOPK_SCORES(query.detach(), item.detach(), k, indptr, indices, item_mask, item_scale)


def _of_items(tensor: Tensor, name: str, item: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a Tensor but is {type(tensor).__name__}")
    if tensor.shape != item.shape[:1] or tensor.device != item.device:
        raise ValueError(
            f"{name} must be [{item.shape[0]}] on {item.device} but is {list(tensor.shape)} on {tensor.device}"
        )


def _fake(query: Tensor, item: Tensor, k: int, indptr, indices, item_mask, item_scale) -> tuple[Tensor, Tensor]:
    values = query.new_empty(query.shape[0], k)
    return values, values.new_empty(values.shape, dtype=torch.int64)


TOPK_SCORES = Op(
    "topk_scores",
    "(Tensor query, Tensor item, int k, Tensor? indptr, Tensor? indices, Tensor? item_mask, Tensor? item_scale)"
    " -> (Tensor, Tensor)",
    reference=reference,
    fake=_fake,
)
