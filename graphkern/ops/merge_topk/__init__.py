"""The best of several top-k lists, as from shards of the items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.ops import _check
from graphkern.ops.merge_topk.reference import merge_topk as reference


def merge_topk(values: Sequence[Tensor], indices: Sequence[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """The k best entries of each row over several lists, in the order of topk_scores.

    `topk_scores` over all items equals this over its results for parts of them, indices counted over all items.

    Args:
        values: [B, k_s] each, one floating dtype; k_s may differ.
        indices: [B, k_s] each, int64; -1 is no entry. An index in two lists counts twice.
        k: >= 1.
    Returns: values [B, k] and indices [B, k] int64: larger values first, of equal ones the lower index; a row with
        fewer than k entries ends in value -inf, index -1. Entries of value NaN or -inf are none.
    Raises: TypeError for a dtype; ValueError for no lists, another number of them, shapes that differ, or k < 1.
    Cost: one selection of k from the sum of k_s a row; memory beyond the results is a fixed size a thread for a sum of
        k_s, whatever B. No gradient.
    """
    if len(values) == 0 or len(values) != len(indices):
        raise ValueError(f"one list of indices for each of values, at least one, but {len(values)} and {len(indices)}")
    _check.floating(**{f"values[{s}]": value for s, value in enumerate(values)})
    for s, (value, index) in enumerate(zip(values, indices, strict=True)):
        if not isinstance(index, Tensor) or index.dtype != torch.int64:
            got = index.dtype if isinstance(index, Tensor) else type(index).__name__
            raise TypeError(f"indices[{s}] must be an int64 Tensor but is {got}")
        if value.dim() != 2 or value.shape != index.shape or value.shape[0] != values[0].shape[0]:
            shapes = f"{list(value.shape)} and {list(index.shape)}"
            raise ValueError(f"values[{s}] and indices[{s}] must both be [{values[0].shape[0]}, k] but are {shapes}")
        if index.device != value.device:
            raise ValueError(f"indices[{s}] is on {index.device} but values[{s}] is on {value.device}")
    if k < 1:
        raise ValueError(f"k must be at least 1 but is {k}")
    return MERGE_TOPK([value.detach() for value in values], list(indices), k)


def _fake(values: Sequence[Tensor], indices: Sequence[Tensor], k: int) -> tuple[Tensor, Tensor]:
    best = values[0].new_empty(values[0].shape[0], k)
    return best, best.new_empty(best.shape, dtype=torch.int64)


MERGE_TOPK = Op(
    "merge_topk", "(Tensor[] values, Tensor[] indices, int k) -> (Tensor, Tensor)", reference=reference, fake=_fake
)
