from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops._dtype import accumulate_dtype


def difference(item: Tensor, i: Tensor, j: Tensor | None) -> Tensor:
    """item[i] - item[j], or item[i] where j is None; [B, D] in the dtype that sums are kept in."""
    own = item.index_select(0, i).to(accumulate_dtype(item.dtype))
    return own if j is None else own - item.index_select(0, j).to(own.dtype)


def scores(user: Tensor, item: Tensor, u: Tensor, i: Tensor, j: Tensor | None) -> Tensor:
    """[B] user[u] . (item[i] - item[j]), or user[u] . item[i] where j is None."""
    other = difference(item, i, j)
    return (user.index_select(0, u).to(other.dtype) * other).sum(1)


def _entries(
    grad: Tensor, slope: Tensor, user: Tensor, item: Tensor, u: Tensor, i: Tensor, j: Tensor | None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """For users and for items: which rows take a share of the gradient, and the shares, in the order of the batch."""
    of_score = (grad.to(slope.dtype) * slope)[:, None]
    to_user = of_score * difference(item, i, j)
    to_item = of_score * user.index_select(0, u).to(slope.dtype)
    if j is None:
        return (u, to_user), (i, to_item)
    return (u, to_user), (torch.stack([i, j], 1).flatten(), torch.stack([to_item, -to_item], 1).flatten(0, 1))


def pair_gradient(
    grad: Tensor,
    slope: Tensor,
    user: Tensor,
    item: Tensor,
    u: Tensor,
    i: Tensor,
    j: Tensor | None,
    need_user: bool,
    need_item: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients for user [U, D] and item [I, D], [0] where not needed; grad and slope [B]: their product is the
    gradient of a score."""

    def spread(table: Tensor, needed: bool, rows: Tensor, shares: Tensor) -> Tensor:
        if not needed:
            return table.new_empty(0)
        return shares.new_zeros(table.shape).index_add_(0, rows, shares).to(table.dtype)

    of_user, of_item = _entries(grad, slope, user, item, u, i, j)
    return spread(user, need_user, *of_user), spread(item, need_item, *of_item)


def pair_gradient_rows(
    grad: Tensor,
    slope: Tensor,
    user: Tensor,
    item: Tensor,
    u: Tensor,
    i: Tensor,
    j: Tensor | None,
    need_user: bool,
    need_item: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As above, only the rows that the batch names: indices [1, n], ascending, and values [n, D], of both tables."""

    def named(table: Tensor, needed: bool, rows: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        if not needed:
            rows, shares = rows[:0], shares[:0]
        names, place = torch.unique(rows.long(), return_inverse=True)
        values = shares.new_zeros(names.shape[0], table.shape[1]).index_add_(0, place, shares)
        return names[None], values.to(table.dtype)

    of_user, of_item = _entries(grad, slope, user, item, u, i, j)
    return *named(user, need_user, *of_user), *named(item, need_item, *of_item)
