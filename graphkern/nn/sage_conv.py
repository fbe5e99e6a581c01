"""GraphSAGE convolution."""

from torch import Tensor, nn
from torch.nn.functional import normalize

from graphkern.csr import CSR
from graphkern.nn.arguments import channels, reduce_of
from graphkern.ops import spmm


class SAGEConv(nn.Module):
    """out_i = lin_l(aggregate of x_j over i's neighbors j) + lin_r(x_i).

    Takes the arguments and the state_dict of PyG's SAGEConv.

    Args:
        in_channels: F_in, or (F_source, F_destination) for a bipartite graph.
        out_channels: F_out.
        aggr: "mean", "sum", "add", "max" or "min".
        normalize: scale each output row to length 1.
        root_weight: add lin_r(x_i).
        project: pass the sources through relu(lin(x_j)) first.
        bias: learn an additive bias, in lin_l.
    Raises: ValueError for in_channels below 1 (lazy layers); NotImplementedError for another aggr.
    Source: Hamilton et al. 2017 (arXiv:1706.02216).
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        aggr: str = "mean",
        normalize: bool = False,
        root_weight: bool = True,
        project: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        source, destination = channels(in_channels)
        self.reduce = reduce_of(aggr)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.aggr = aggr
        self.normalize = normalize
        self.lin = nn.Linear(source, source) if project else None
        self.lin_l = nn.Linear(source, out_channels, bias=bias)
        self.lin_r = nn.Linear(destination, out_channels, bias=False) if root_weight else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """nn.Linear's own initialization, which is also PyG's."""
        for layer in (self.lin, self.lin_l, self.lin_r):
            if layer is not None:
                layer.reset_parameters()

    def forward(self, x: Tensor | tuple[Tensor, Tensor | None], adj: CSR) -> Tensor:
        """x [N, F_in], or a pair of [M, F_source] and [N, F_destination] or None, and adj N x M -> [N, F_out]."""
        source, destination = (x, x) if isinstance(x, Tensor) else x
        if self.lin is not None:
            source = self.lin(source).relu()
        out = self.lin_l(spmm(adj, source, reduce=self.reduce))
        if self.lin_r is not None and destination is not None:
            out = out + self.lin_r(destination)
        return normalize(out, dim=-1) if self.normalize else out

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, aggr={self.aggr}"
