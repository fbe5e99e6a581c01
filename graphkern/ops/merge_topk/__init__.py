"""The best of several top-k lists, as from shards of the items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkern.ops import _check


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
    Cost: two stable sorts of [B, sum of k_s]. No gradient. Plain torch, on any device.
    """
    if not values or len(values) != len(indices):
        raise ValueError(f"one list of indices for each of values, at least one, but {len(values)} and {len(indices)}")
    _check.floating(**{f"values[{s}]": value for s, value in enumerate(values)})
    for s, (value, index) in enumerate(zip(values, indices, strict=True)):
        if index.dtype != torch.int64:
            raise TypeError(f"indices[{s}] must be int64 but is {index.dtype}")
        if value.dim() != 2 or value.shape != index.shape or value.shape[0] != values[0].shape[0]:
            shapes = f"{list(value.shape)} and {list(index.shape)}"
            raise ValueError(f"values[{s}] and indices[{s}] must both be [{values[0].shape[0]}, k] but are {shapes}")
        if index.device != value.device:
            raise ValueError(f"indices[{s}] is on {index.device} but values[{s}] is on {value.device}")
    if k < 1:
        raise ValueError(f"k must be at least 1 but is {k}")
    value, index = torch.cat([v.detach() for v in values], dim=1), torch.cat(list(indices), dim=1)
    value = torch.where((index < 0) | value.isnan(), -torch.inf, value)
    index, order = index.sort(dim=1, stable=True)
    value, order = value.gather(1, order).sort(dim=1, descending=True, stable=True)
    value, index = value[:, :k], index.gather(1, order[:, :k])
    missing = k - value.shape[1]
    if missing > 0:
        value = torch.nn.functional.pad(value, (0, missing), value=-torch.inf)
        index = torch.nn.functional.pad(index, (0, missing), value=-1)
    return value.contiguous(), torch.where(value == -torch.inf, -1, index)
