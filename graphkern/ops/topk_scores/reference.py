from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import row_index
from graphkern.ops._dtype import accumulate_dtype


def topk_scores(
    query: Tensor,
    item: Tensor,
    k: int,
    indptr: Tensor | None,
    indices: Tensor | None,
    item_mask: Tensor | None,
    item_scale: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The k best of query @ item.T * item_scale [B, N] a row, without masked items and the columns in CSR (indptr,
    indices).

    Ties go to the lower index. NaN and -inf scores are never returned: places left over hold -inf and index -1.
    """
    accumulate = accumulate_dtype(query.dtype)
    rows = item.to(accumulate)
    if item_scale is not None:
        rows = rows * item_scale.to(accumulate)[:, None]
    scores = torch.nan_to_num(query.to(accumulate) @ rows.T, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    if item_mask is not None:
        scores = scores.masked_fill(~item_mask, -torch.inf)
    if indptr is not None and indices is not None:
        scores[row_index(indptr, indices.shape[0]).long(), indices.long()] = -torch.inf
    values, index = torch.sort(scores, dim=1, descending=True, stable=True)
    values, index = values[:, :k], index[:, :k]
    return values.to(query.dtype), torch.where(values == -torch.inf, -1, index)
