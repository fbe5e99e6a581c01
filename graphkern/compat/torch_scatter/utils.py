"""The rule by which an index broadcasts."""

from __future__ import annotations

from torch import Tensor


def broadcast(src: Tensor, other: Tensor, dim: int) -> Tensor:
    """src expanded to the shape of other: a 1-D src lies along dim, another begins at the first axis.

    Args:
        src: 1-D, or with at most as many axes as other, each 1 or that of other; missing axes at the end count as 1.
        other: gives the shape. dim: negative from the end.
    Returns: a view of src. Raises: RuntimeError where the shapes do not fit.
    """
    if dim < 0:
        dim = other.dim() + dim
    leading = dim if src.dim() == 1 else 0
    trailing = max(other.dim() - leading - src.dim(), 0)
    return src.reshape([1] * leading + list(src.shape) + [1] * trailing).expand(other.shape)
