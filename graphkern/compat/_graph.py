"""Graphs as the packages served here pass them, two tensors, seen as a CSR, and what their samplers share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkern._kept import kept_with
from graphkern.csr import CSR


def graph_of(rowptr: Tensor, col: Tensor, num_cols: int | None = None) -> CSR:
    """The CSR of these tensors, validated once and kept, with its transpose, for as long as they live unchanged.

    Args:
        rowptr: [N + 1], col: [E], both int32 or both int64.
        num_cols: M; None is N.
    Raises: TypeError, ValueError: as CSR. A compiled graph reads the values in each call and raises RuntimeError.
    """
    num_cols = rowptr.numel() - 1 if num_cols is None else num_cols
    return kept_with((rowptr, col), ("compat.graph", num_cols), lambda: CSR(rowptr.detach(), col.detach(), num_cols))


def width(col: Tensor) -> int:
    """1 + the largest value of col [E], kept with it; 0 for none. Raises: TypeError for another thing than a Tensor."""
    if not isinstance(col, Tensor):
        raise TypeError(f"col must be a Tensor but is {type(col).__name__}")
    return kept_with((col,), "compat.width", lambda: max(int(col.max()) + 1, 0) if col.numel() else 0)


def fanouts(num_neighbors: Sequence[int]) -> list[int]:
    """As graphkern takes them: any negative number takes all neighbors."""
    return [max(int(number), -1) for number in num_neighbors]


def random_seed() -> int:
    """From torch's default CPU generator: torch.manual_seed repeats a sample."""
    return int(torch.randint(2**63 - 1, ()))
