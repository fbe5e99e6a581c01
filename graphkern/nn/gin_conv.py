"""Graph isomorphism convolution."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphkern.csr import CSR
from graphkern.nn.arguments import reduce_of
from graphkern.ops import spmm


class GINConv(nn.Module):
    """out_i = nn((1 + eps) x_i + sum of x_j over i's neighbors j).

    Takes the arguments and the state_dict of PyG's GINConv.

    Args:
        nn: maps [N, F_in] to [N, F_out]; usually an MLP. As in PyG its parameters are reset here.
        eps: initial value of eps.
        train_eps: learn eps; otherwise it is a buffer.
        aggr: "sum", "add", "mean", "max" or "min" of the neighbors.
    Raises: NotImplementedError for another aggr.
    Memory: N F_in values beside what nn needs; nothing of size E.
    Source: Xu et al. 2019, eq. 4.1 (arXiv:1810.00826).
    """

    eps: Tensor

    def __init__(
        self, nn: Callable[[Tensor], Tensor], eps: float = 0.0, train_eps: bool = False, aggr: str = "add"
    ) -> None:
        super().__init__()
        self.reduce = reduce_of(aggr)
        self.nn = nn
        self.initial_eps = eps
        if train_eps:
            self.eps = torch.nn.Parameter(torch.empty(1))
        else:
            self.register_buffer("eps", torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset nn and give eps its initial value."""
        _reset(self.nn)
        torch.nn.init.constant_(self.eps, self.initial_eps)

    def forward(self, x: Tensor | tuple[Tensor, Tensor | None], adj: CSR) -> Tensor:
        """x [N, F_in], or a pair of [M, F_in] and [N, F_in] or None, and adj N x M -> [N, F_out]."""
        source, destination = (x, x) if isinstance(x, Tensor) else x
        out = spmm(adj, source, reduce=self.reduce)
        return self.nn(out if destination is None else out + (1 + self.eps) * destination)


def _reset(module: object) -> None:
    """Call reset_parameters of a module, or where it has none of each child."""
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()
    elif isinstance(module, nn.Module):
        for child in module.children():
            _reset(child)
