from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import row_index
from graphkern.ops._dtype import accumulate_dtype


def topk_scores(
    query: Tensor, item: Tensor, k: int, indptr: Tensor | None, indices: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The k best of query @ item.T [B, N] a row, the columns in CSR (indptr, indices) left out.

    Ties go to the lower index. NaN and -inf scores are never returned: places left over hold -inf and index -1.
    """
    accumulate = accumulate_dtype(query.dtype)
    scores = torch.nan_to_num(
        query.to(accumulate) @ item.to(accumulate).T, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf
    )
    if indptr is not None and indices is not None:
        rows = row_index(indptr, indices.shape[0]).long()
        scores[rows, indices.long()] = -torch.inf
    values, index = torch.sort(scores, dim=1, descending=True, stable=True)
    values, index = values[:, :k], index[:, :k]
    return values.to(query.dtype), torch.where(values == -torch.inf, -1, index)
