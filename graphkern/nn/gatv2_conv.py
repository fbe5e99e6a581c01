"""Graph attention with a score that is not linear before its last product."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu

from graphkern.csr import CSR
from graphkern.nn.arguments import attention_dropout, channels, edge_features, glorot_, glorot_linear_
from graphkern.nn.graphs import looped_features, sum_of_ends, with_self_loops
from graphkern.ops import edge_softmax, gatv2_aggregate, spmm


class GATv2Conv(nn.Module):
    """out_i = sum over j of alpha_ij lin_l(x_j), j over i's neighbors and i.

    alpha_ij = softmax over j of a leaky_relu(lin_l(x_j) + lin_r(x_i)), for every head; with edge features e_ij,
    leaky_relu(lin_l(x_j) + lin_r(x_i) + lin_edge(e_ij)). Takes the arguments and the state_dict of PyG's GATv2Conv.

    Args:
        in_channels: F_in, or (F_source, F_destination) for a bipartite graph.
        out_channels: D, per head.
        heads: H.
        concat: put the heads side by side, [N, H D]; otherwise their mean, [N, D].
        negative_slope: of leaky_relu.
        dropout: probability of an attention weight to be dropped in training. The op's seed comes from torch's default
            generator; under torch.compile this draw breaks the graph.
        add_self_loops: replace the loops of the graph by one at each node that is a row and a column. The new graph
            is nn.with_self_loops(adj), built once and kept with adj.
        edge_dim: F_edge, number of edge features.
        fill_value: features of the added loops: a number, an [F_edge] tensor, or "add", "sum", "mean", "max" or "min"
            of the features of the edges that enter the node.
        bias: learn an additive bias, and those of lin_l and lin_r.
        share_weights: lin_r is lin_l.
        residual: add res(x_i).
    Raises: ValueError for in_channels below 1 (lazy layers); NotImplementedError for fill_value "mul".
    Memory: (M + N) H D values, nothing of size E. With edge features or returned weights, about 4 E H D values.
    Source: Brody et al. 2022 (arXiv:2105.14491).
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: float | Tensor | str = "mean",
        bias: bool = True,
        share_weights: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        source, destination = channels(in_channels)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.concat = concat
        self.negative_slope = negative_slope
        self.dropout = dropout
        self.add_self_loops = add_self_loops
        self.edge_dim = edge_dim
        self.fill_value = fill_value
        self.share_weights = share_weights
        width, out_width = heads * out_channels, heads * out_channels if concat else out_channels
        self.lin_l = nn.Linear(source, width, bias=bias)
        self.lin_r = self.lin_l if share_weights else nn.Linear(destination, width, bias=bias)
        self.att = nn.Parameter(torch.empty(1, heads, out_channels))
        self.lin_edge = nn.Linear(edge_dim, width, bias=False) if edge_dim is not None else None
        self.res = nn.Linear(destination, out_width, bias=False) if residual else None
        self.bias = nn.Parameter(torch.empty(out_width)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot uniform weights, zero bias, the biases of lin_l and lin_r as in nn.Linear."""
        for layer in (self.lin_l, self.lin_r, self.lin_edge, self.res):
            if layer is not None:
                glorot_linear_(layer)
        glorot_(self.att)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        adj: CSR,
        edge_attr: Tensor | None = None,
        *,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            x: [N, F_in], or a pair of [M, F_source] and [N, F_destination].
            adj: N x M, E edges.
            edge_attr: [E, F_edge] (or [E] for one feature) in CSR order; adj.edge_id leads from the caller's to it.
            return_attention_weights: return the weights too, after dropout.
        Returns: [N, H D] or [N, D]; with it the weights [E, H] in the CSR order of adj, or of nn.with_self_loops(adj)
            where loops are added.
        Raises: ValueError for edge_attr of another shape, or without edge_dim.
        """
        source, destination = (x, x) if isinstance(x, Tensor) else x
        shape = (-1, self.heads, self.out_channels)
        x_src = self.lin_l(source)
        x_dst = x_src if destination is source and self.share_weights else self.lin_r(destination)
        att = self.att.to(x_src)
        if edge_attr is not None:
            edge_attr = edge_features(adj, edge_attr, self.edge_dim)
            if self.add_self_loops:
                edge_attr = looped_features(adj, edge_attr, self.fill_value)
        graph = with_self_loops(adj) if self.add_self_loops else adj

        alpha = None
        if edge_attr is None and not return_attention_weights:
            p, seed = attention_dropout(self, self.dropout)
            out = gatv2_aggregate(graph, x_src.view(shape), x_dst.view(shape), att[0], self.negative_slope, p, seed)
        else:
            hidden = sum_of_ends(graph, x_src, x_dst)
            if edge_attr is not None and self.lin_edge is not None:
                hidden = torch.addmm(hidden, edge_attr, self.lin_edge.weight.t())
            score = (leaky_relu(hidden, self.negative_slope).view(shape) * att).sum(-1)
            alpha = dropout(edge_softmax(graph, score), self.dropout, self.training)
            out = spmm(graph, x_src.view(shape), alpha)

        out = out.flatten(1) if self.concat else out.mean(1)
        if self.res is not None:
            out = out + self.res(destination)
        if self.bias is not None:
            out = out + self.bias
        if alpha is None or not return_attention_weights:
            return out
        return out, alpha

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, heads={self.heads}"
