"""The symmetric normalization of graph convolutions, kept as factors of the graph instead of a new graph."""

from typing import NamedTuple

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.nn.graphs import kept, with_self_loops
from graphkern.ops import spmm


class GCNNorm(NamedTuple):
    """D^-1/2 (A + diag(loop)) D^-1/2 over N nodes, where A is adj with `weight` on its edges and D its row sums.

    scale [N, 1] is the diagonal of D^-1/2, 0 where a row sum is 0; loop [N, 1]; weight [E] in CSR order, None for ones.
    """

    adj: CSR
    scale: Tensor
    loop: Tensor | None
    weight: Tensor | None

    def apply(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """The normalized graph times x [N, F], + bias [F]. Cost: one spmm; nothing of size E x F."""
        x = self.scale * x
        out = spmm(self.adj, x, self.weight)
        if self.loop is not None:
            out = torch.addcmul(out, self.loop, x)
        return self.scale * out if bias is None else torch.addcmul(bias, self.scale, out)


def gcn_norm(
    adj: CSR, edge_weight: Tensor | None, self_loop: float | None, dtype: torch.dtype, existing: str = "keep"
) -> GCNNorm:
    """Normalize by in-degree on both sides.

    Args:
        adj: N x N.
        edge_weight: [E] in CSR order.
        self_loop: weight of the loop that each node gets. None adds no loops.
        dtype: of the factors; they are computed in float32 at least.
        existing: what becomes of loops that are there: "keep": a node with a loop gets no other, and of several the
            last counts; "replace": they go; "add": they stay beside the new one.
    Returns: the factors. Without edge_weight they are computed once and kept with adj; with self_loop 1 they are those
        of with_self_loops(adj).
    Raises: ValueError if adj is not square.
    Source: Kipf and Welling 2017, eq. 2 (arXiv:1609.02907).
    """
    if adj.num_rows != adj.num_cols:
        raise ValueError(f"adj must be square but is {adj.num_rows} x {adj.num_cols}")
    if edge_weight is None:
        name = f"gcn_norm {self_loop} {dtype} {existing}"
        return kept(adj, name, lambda: _norm(adj, None, self_loop, dtype, existing))
    return _norm(adj, edge_weight, self_loop, dtype, existing)


def _norm(adj: CSR, edge_weight: Tensor | None, self_loop: float | None, dtype: torch.dtype, existing: str) -> GCNNorm:
    wide = torch.promote_types(dtype, torch.float32)
    weight, loop = None if edge_weight is None else edge_weight.to(wide), None
    if edge_weight is None and self_loop == 1 and existing != "add":
        adj = with_self_loops(adj)
    elif self_loop is not None:
        loop = torch.full((adj.num_rows, 1), self_loop, dtype=wide, device=adj.device)
        if existing != "add":
            weight, loop = _split_loops(adj, weight, loop, keep=existing == "keep")
    if weight is None:
        degree = adj.degree().to(wide).unsqueeze(1)
    else:
        degree = spmm(adj, torch.ones(adj.num_cols, 1, dtype=wide, device=adj.device), weight)
    if loop is not None:
        degree = degree + loop
    is_empty = degree == 0
    scale = degree.masked_fill(is_empty, 1).rsqrt().masked_fill(is_empty, 0)
    loop, weight = (factor if factor is None else factor.to(dtype) for factor in (loop, weight))
    return GCNNorm(adj, scale.to(dtype), loop, weight)


def _split_loops(adj: CSR, edge_weight: Tensor | None, loop: Tensor, keep: bool) -> tuple[Tensor | None, Tensor]:
    """The weights with those of loops set to 0, and the weight of each node's one loop [N, 1]: what loop says, or with
    keep that of the node's last loop where it has any."""

    def build() -> tuple[Tensor, Tensor]:
        """The edges that are loops, and the last of each node."""
        row = adj.row_index()
        own = torch.nonzero(row == adj.indices).flatten()
        is_last = torch.ones_like(own, dtype=torch.bool)
        is_last[:-1] = row[own[:-1]] != row[own[1:]]
        return own, own[is_last]

    own, last = kept(adj, "loops", build)
    if not torch.compiler.is_compiling() and own.shape[0] == 0:
        return edge_weight, loop
    weight = torch.ones(adj.num_edges, dtype=loop.dtype, device=adj.device) if edge_weight is None else edge_weight
    if keep:
        loop = loop.index_put((adj.indices[last].long(),), weight[last].unsqueeze(1))
    return weight.index_fill(0, own, 0), loop
