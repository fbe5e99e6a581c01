"""Stable sort of small integers: how CSRs are built and transposed. Internal: users meet it through CSR."""

from __future__ import annotations

from torch import Tensor

from graphkern._op import Op
from graphkern.ops.counting_sort.reference import counting_sort as reference


def _fake(index: Tensor, num_bins: int) -> tuple[Tensor, Tensor]:
    return index.new_empty(num_bins + 1), index.new_empty(index.shape[0])


COUNTING_SORT = Op(
    "counting_sort", "(Tensor index, SymInt num_bins) -> (Tensor, Tensor)", reference=reference, fake=_fake
)
