from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def merge_topk(values: Sequence[Tensor], indices: Sequence[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """The k best of the concatenated lists [B, k_s] a row, larger values first, of equal ones the lower index.

    Entries of value NaN or -inf or with a negative index are none: places left over hold -inf and index -1.
    """
    value, index = torch.cat(list(values), dim=1), torch.cat(list(indices), dim=1)
    value = torch.where((index < 0) | value.isnan(), -torch.inf, value)
    index, order = index.sort(dim=1, stable=True)
    value, order = value.gather(1, order).sort(dim=1, descending=True, stable=True)
    value, index = value[:, :k], index.gather(1, order[:, :k])
    missing = k - value.shape[1]
    if missing > 0:
        value = torch.nn.functional.pad(value, (0, missing), value=-torch.inf)
        index = torch.nn.functional.pad(index, (0, missing), value=-1)
    return value.contiguous(), torch.where(value == -torch.inf, -1, index)
