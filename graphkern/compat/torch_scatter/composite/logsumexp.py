"""log sum exp over the entries that share an index."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.torch_scatter._operators import scriptable
from graphkern.compat.torch_scatter.composite._take import take_back
from graphkern.compat.torch_scatter.scatter import scatter, scatter_sum


@scriptable
def scatter_logsumexp(
    src: Tensor,
    index: Tensor,
    dim: int = -1,
    out: Tensor | None = None,
    dim_size: int | None = None,
    eps: float = 1e-12,
) -> Tensor:
    """log(sum of exp) over the entries of src along dim that have the same index.

    Args:
        src: floating. index, dim, dim_size: as in `scatter`.
        out: takes part as one more entry of each place; written and returned.
        eps: added to each sum of exponentials, which are taken relative to the largest entry.
    Returns: shape of src with N along dim; 0 in place of minus infinity, as where there are no entries, and of NaN.
    Raises: ValueError if src is not floating, and as `scatter`. Differentiable twice.
    """
    if not torch.is_floating_point(src):
        raise ValueError("scatter_logsumexp needs floating point values")
    if out is not None:
        dim_size = out.size(dim)
    elif dim_size is None:
        dim_size = int(index.max()) + 1 if index.numel() > 0 else 0
    if dim_size < 0:
        raise ValueError("index and dim_size must not be negative")
    if out is None:
        size = list(src.shape)
        size[dim] = dim_size
        top = torch.full(size, float("-inf"), dtype=src.dtype, device=src.device)
    else:
        top = out.clone()
    top = scatter(src, index, dim, top, None, "max")
    shifted = src - take_back(top, index, src, dim)
    weight = shifted.nan_to_num_(float("-inf"), float("inf"), float("-inf")).exp_()
    total = scatter_sum(weight, index, dim, None, dim_size)
    if out is not None:
        total = total + (out - top).exp()
    result = total.add_(eps).log_().add_(top).nan_to_num_(neginf=0.0)
    return result if out is None else out.copy_(result)
