"""Standard deviation over the entries that share an index."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_scatter._operators import scriptable
from graphkern.compat.torch_scatter.composite._take import take_back
from graphkern.compat.torch_scatter.scatter import scatter_sum
from graphkern.compat.torch_scatter.utils import broadcast


@scriptable
def scatter_std(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    unbiased: bool = True,
) -> Tensor:
    """Standard deviation of the entries of src along dim that have the same index.

    Args:
        src, index, dim, dim_size: as in `scatter`.
        out: the squared deviations are added to it, and the result is taken from these sums.
        unbiased: divide by the number of entries minus one (at least one); 1e-6 is added to the divisor.
    Returns: a new tensor, shape of src with N along dim, float32 for integers; 0 where there are fewer than two
        entries.
    Raises: as `scatter`. Cost: that of three `scatter` and one buffer of the size of src. Differentiable.
    """
    if src.dtype == torch.bool or src.is_complex():
        raise NotImplementedError("scatter_std needs real numbers")
    if out is not None:
        dim_size = out.size(dim)
    if dim < 0:
        dim = src.dim() + dim
    count_dim = 0 if index.dim() == 1 else dim
    places = index.reshape(list(index.shape) + [1] * (count_dim + 1 - index.dim()))
    if places.size(count_dim) == 1:
        places = places.repeat_interleave(src.size(dim), dim=count_dim)
    ones = torch.ones(
        places.shape, dtype=torch.float64 if src.dtype == torch.float64 else torch.float32, device=src.device
    )
    total = scatter_sum(src, index, dim, None, dim_size)
    count = scatter_sum(ones, places, count_dim, None, total.size(dim))
    count = broadcast(count, total, dim).clamp(min=1)
    mean = (total / count).to(src.dtype if src.is_floating_point() else count.dtype)
    deviation = src - take_back(mean, index, src, dim)
    squares = scatter_sum(deviation * deviation, index, dim, out, dim_size)
    if unbiased:
        count = count.sub(1).clamp(min=1)
    return (squares / (count + 1e-6)).sqrt().to(squares.dtype)
