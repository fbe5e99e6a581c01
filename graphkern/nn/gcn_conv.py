"""Graph convolution with symmetric normalization."""

import torch
from torch import Tensor, nn

from graphkern.csr import CSR
from graphkern.nn.arguments import channels
from graphkern.nn.norm import GCNNorm, gcn_norm
from graphkern.ops import spmm


class GCNConv(nn.Module):
    """out = D^-1/2 (A + I) D^-1/2 x W^T + bias, with D the row sums of A + I.

    Takes the arguments and the state_dict of PyG's GCNConv.

    Args:
        in_channels, out_channels: F_in, F_out.
        improved: A + 2 I instead, also for a graph without weights (where PyG's edge_index path adds I).
        cached: keep the normalization for as long as the same adj and edge_weight objects come. Without edge_weight it
            is kept with adj in any case.
        add_self_loops: give a loop to the nodes that have none; None is the value of normalize.
        normalize: without it, out = A x W^T + bias.
        bias: learn an additive bias.
    Raises: ValueError for in_channels below 1 (lazy layers) or loops without normalization.
    Source: Kipf and Welling 2017 (arXiv:1609.02907).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        improved: bool = False,
        cached: bool = False,
        add_self_loops: bool | None = None,
        normalize: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        channels(in_channels)
        if add_self_loops and not normalize:
            raise ValueError("add_self_loops needs normalize")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.improved = improved
        self.cached = cached
        self.add_self_loops = normalize if add_self_loops is None else add_self_loops
        self.normalize = normalize
        self.lin = nn.Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot uniform weight, zero bias; forgets what is cached."""
        nn.init.xavier_uniform_(self.lin.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self._cache: tuple[CSR, Tensor | None, GCNNorm] | None = None

    def forward(self, x: Tensor, adj: CSR, edge_weight: Tensor | None = None) -> Tensor:
        """x [N, F_in], adj N x N (square), edge_weight [E] in CSR order -> [N, F_out]."""
        x = self.lin(x)
        if self.normalize:
            return self._norm(adj, edge_weight, x.dtype).apply(x, self.bias)
        out = spmm(adj, x, None if edge_weight is None else edge_weight.to(x.dtype))
        return out if self.bias is None else out + self.bias

    def _norm(self, adj: CSR, edge_weight: Tensor | None, dtype: torch.dtype) -> GCNNorm:
        if self._cache is not None and self._cache[0] is adj and self._cache[1] is edge_weight:
            return self._cache[2]
        loop = (2.0 if self.improved else 1.0) if self.add_self_loops else None
        norm = gcn_norm(adj, edge_weight, loop, dtype)
        if self.cached:
            self._cache = adj, edge_weight, norm
        return norm

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}"
