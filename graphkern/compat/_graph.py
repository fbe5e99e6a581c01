"""Graphs as the packages served here pass them, two tensors, seen as a CSR."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern._kept import kept_with
from graphkern.csr import CSR


def graph_of(rowptr: Tensor, col: Tensor, num_cols: int | None = None) -> CSR:
    """The CSR of these tensors, validated once and kept, with its transpose, for as long as they live unchanged.

    Args:
        rowptr: [N + 1], col: [E], both int32 or both int64.
        num_cols: M; None is N.
    Raises: TypeError, ValueError: as CSR. Values are not looked at while compiling.
    """
    num_cols = rowptr.numel() - 1 if num_cols is None else num_cols
    if torch.compiler.is_compiling():
        return CSR(rowptr, col, num_cols, validate=False)
    return kept_with((rowptr, col), ("compat.graph", num_cols), lambda: CSR(rowptr.detach(), col.detach(), num_cols))
