from __future__ import annotations

from torch import Tensor


def gather_rows(x: Tensor, hot: Tensor | None, slot: Tensor | None, index: Tensor) -> Tensor:
    """x: [N, F]; hot: [C, F]; slot: [N]; index: [n]. Returns [n, F] where index is"""
    row = index.long()
    out = x.new_empty(row.shape[0], x.shape[1], device=index.device)
    is_hot = row.new_zeros(row.shape).bool()
    if hot is not None and slot is not None:
        place = slot.index_select(0, row).long()
        is_hot = place >= 0
        out[is_hot] = hot.index_select(0, place[is_hot])
    out[~is_hot] = x.index_select(0, row[~is_hot].to(x.device)).to(index.device)
    return out
