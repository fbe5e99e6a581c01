"""Relational graph convolution."""

import torch
from torch import Tensor, nn

from graphkern.csr import CSR
from graphkern.nn.arguments import channels, glorot_, reduce_of
from graphkern.nn.graphs import by_relation
from graphkern.ops import segment_matmul, spmm


class RGCNConv(nn.Module):
    """out_i = x_i root + sum over relations r of (aggregate of x_j over i's neighbors j by r) weight_r + bias.

    Takes the arguments and the state_dict of PyG's RGCNConv.

    Args:
        in_channels: F_in, or (F_source, F_destination) for a bipartite graph; the number of nodes where x holds node
            numbers.
        out_channels: F_out.
        num_relations: R.
        num_bases: make every weight_r from that many shared matrices: weight_r = sum over b of comp[r, b] weight_b.
        num_blocks: weight_r is block diagonal with that many equal blocks.
        aggr: "mean", "sum", "add", "max" or "min" over the neighbors by one relation.
        root_weight: add x_i root.
        is_sorted: taken for PyG's sake; the edges are grouped once per graph in either case.
        bias: learn an additive bias.
    Raises: ValueError for in_channels below 1, both num_bases and num_blocks, or channels that blocks do not divide;
        NotImplementedError for another aggr.
    Memory: P (F_in + F_out) values, with P <= min(E, R N) the pairs of relation and row with an edge; R F_in F_out for
        the weights where num_bases is given; nothing of size E x F. The edges grouped by relation stay with adj.
    Source: Schlichtkrull et al. 2018, eq. 2 to 4 (arXiv:1703.06103).
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        num_relations: int,
        num_bases: int | None = None,
        num_blocks: int | None = None,
        aggr: str = "mean",
        root_weight: bool = True,
        is_sorted: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        source, destination = channels(in_channels)
        if num_bases is not None and num_blocks is not None:
            raise ValueError("num_bases and num_blocks exclude each other")
        if num_blocks is not None and (source % num_blocks or out_channels % num_blocks):
            raise ValueError(f"num_blocks {num_blocks} must divide the channels {source} and {out_channels}")
        self.reduce = reduce_of(aggr)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_relations = num_relations
        self.num_bases = num_bases
        self.num_blocks = num_blocks
        shape: tuple[int, ...] = (num_relations if num_bases is None else num_bases, source, out_channels)
        if num_blocks is not None:
            shape = (num_relations, num_blocks, source // num_blocks, out_channels // num_blocks)
        self.weight = nn.Parameter(torch.empty(shape))
        self.comp = nn.Parameter(torch.empty(num_relations, num_bases)) if num_bases is not None else None
        self.root = nn.Parameter(torch.empty(destination, out_channels)) if root_weight else None
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot uniform weights, zero bias."""
        for parameter in (self.weight, self.comp, self.root):
            if parameter is not None:
                glorot_(parameter)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor | tuple[Tensor | None, Tensor] | None, adj: CSR, edge_type: Tensor) -> Tensor:
        """Run the layer.

        Args:
            x: [N, F_in]; or integers [N], which look up the rows of weight_r and root (one-hot features); or None for
                0, 1, ..., F_in - 1; or a pair of them for the M sources and the N destinations.
            adj: N x M, E edges.
            edge_type: [E] relation of each edge in CSR order (adj.edge_id leads from the caller's order to it), not to
                be changed in place: the groups are kept with adj for as long as the same edge_type object comes.
        Returns: [N, F_out].
        """
        source, destination = x if isinstance(x, tuple) else (x, x)
        relations = by_relation(adj, edge_type, self.num_relations)
        reduce = "sum" if self.reduce == "mean" else self.reduce  # means are sums with a weight in the last step
        if source is None or not source.is_floating_point():
            by_group = self._look_up(source, relations.typed(), reduce)
        else:
            by_group = self._transform(spmm(relations.groups, source, reduce=reduce), relations.indptr)
        out = spmm(relations.rows, by_group, relations.share(by_group.dtype) if self.reduce == "mean" else None)
        if self.root is not None:
            if destination is None:
                out = out + self.root
            elif destination.is_floating_point():
                out = out + destination @ self.root
            else:
                out = out + self.root[destination]
        return out if self.bias is None else out + self.bias

    def _weights(self) -> Tensor:
        """[R, F_in, F_out] without blocks."""
        if self.comp is None:
            return self.weight
        return (self.comp @ self.weight.flatten(1)).view(self.num_relations, *self.weight.shape[1:])

    def _transform(self, x: Tensor, indptr: Tensor) -> Tensor:
        """x [P, F_in] sorted by relation, indptr [R + 1] -> [P, F_out]."""
        if self.num_blocks is None:
            return segment_matmul(x, indptr, self._weights())
        blocks = x.chunk(self.num_blocks, dim=1)
        return torch.cat([segment_matmul(block, indptr, self.weight[:, i]) for i, block in enumerate(blocks)], 1)

    def _look_up(self, node: Tensor | None, typed: CSR, reduce: str) -> Tensor:
        """Aggregate the rows weight_r[node] over the groups -> [P, F_out]."""
        if self.num_blocks is not None:
            raise ValueError("num_blocks needs floating x")
        weights = self._weights() if node is None else self._weights()[:, node]
        return spmm(typed, weights.flatten(0, 1), reduce=reduce)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, num_relations={self.num_relations}"
