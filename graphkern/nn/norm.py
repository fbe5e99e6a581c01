"""The symmetric normalization of graph convolutions, kept as factors of the graph instead of a new graph."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.ops import spmm


class GCNNorm(NamedTuple):
    """D^-1/2 (A + diag(loop)) D^-1/2 over N nodes, where A has `weight` on its edges and D its row sums.

    scale [N, 1] is the diagonal of D^-1/2, 0 where a row sum is 0; loop [N, 1]; weight [E] in CSR order, None for ones.
    """

    scale: Tensor
    loop: Tensor | None
    weight: Tensor | None

    def apply(self, adj: CSR, x: Tensor) -> Tensor:
        """The normalized graph times x [N, F]. Cost: one spmm; nothing of size E x F."""
        x = self.scale * x
        out = spmm(adj, x, self.weight)
        return self.scale * (out if self.loop is None else out + self.loop * x)


def gcn_norm(adj: CSR, edge_weight: Tensor | None, self_loop: float | None, dtype: torch.dtype) -> GCNNorm:
    """Normalize by in-degree on both sides.

    Args:
        adj: N x N.
        edge_weight: [E] in CSR order, of dtype.
        self_loop: weight of the loop that each node without one gets; a node's own loop keeps its weight, and of
            several the last counts. None adds no loops.
    Raises: ValueError if adj is not square.
    Source: Kipf and Welling 2017, eq. 2 (arXiv:1609.02907).
    """
    if adj.num_rows != adj.num_cols:
        raise ValueError(f"adj must be square but is {adj.num_rows} x {adj.num_cols}")
    weight, loop = edge_weight, None
    if self_loop is not None:
        weight, loop = _split_loops(adj, edge_weight, self_loop, dtype)
    if weight is None:
        degree = adj.degree().to(dtype).unsqueeze(1)
    else:
        degree = spmm(adj, torch.ones(adj.num_cols, 1, dtype=dtype, device=adj.device), weight)
    if loop is not None:
        degree = degree + loop
    is_empty = degree == 0
    return GCNNorm(degree.masked_fill(is_empty, 1).rsqrt().masked_fill(is_empty, 0), loop, weight)


def _split_loops(
    adj: CSR, edge_weight: Tensor | None, self_loop: float, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor]:
    """The weights with those of loops set to 0, and the weight of each node's one loop [N, 1]."""
    row = adj.row_index()
    is_loop = row == adj.indices
    loop = torch.full((adj.num_rows, 1), self_loop, dtype=dtype, device=adj.device)
    own = torch.nonzero(is_loop).flatten()
    if len(own) == 0:
        return edge_weight, loop
    weight = torch.ones(adj.num_edges, dtype=dtype, device=adj.device) if edge_weight is None else edge_weight
    is_last = torch.ones_like(own, dtype=torch.bool)
    is_last[:-1] = row[own[:-1]] != row[own[1:]]
    last = own[is_last]
    return weight.masked_fill(is_loop, 0), loop.index_put((row[last].long(),), weight[last].unsqueeze(1))
