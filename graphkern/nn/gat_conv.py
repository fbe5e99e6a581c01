"""Graph attention."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu

from graphkern.csr import CSR
from graphkern.nn.arguments import attention_dropout, channels, edge_features, glorot_, glorot_linear_
from graphkern.nn.graphs import looped_features, sum_of_ends, with_self_loops
from graphkern.ops import edge_softmax, gat_aggregate, spmm


class GATConv(nn.Module):
    """out_i = sum over j of alpha_ij W x_j, with alpha_ij = softmax over j of leaky_relu(a_dst W x_i + a_src W x_j).

    j runs over i's neighbors and i. With edge features e_ij the score has + a_edge W_edge e_ij. Every head has its own
    W and a. Takes the arguments and the state_dict of PyG's GATConv.

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
        bias: learn an additive bias.
        residual: add res(x_i).
    Raises: ValueError for in_channels below 1 (lazy layers); NotImplementedError for fill_value "mul".
    Memory: M H D values, nothing of size E. With edge features, E H values more, and 2 E F_edge for those of the looped
        graph; with returned weights, E H values a few times over.
    Source: Velickovic et al. 2018 (arXiv:1710.10903).
    """

    lin: nn.Linear | None
    res: nn.Linear | None
    lin_src: nn.Linear  # with lin_dst, in place of lin
    lin_dst: nn.Linear
    lin_edge: nn.Linear  # with att_edge, where there are edge features
    att_edge: nn.Parameter

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
        width, out_width = heads * out_channels, heads * out_channels if concat else out_channels
        for absent in ("lin", "lin_src", "lin_dst", "lin_edge", "res"):
            self.register_module(absent, None)
        if isinstance(in_channels, int):
            self.lin = nn.Linear(source, width, bias=False)
        else:
            self.lin_src = nn.Linear(source, width, bias=False)
            self.lin_dst = nn.Linear(destination, width, bias=False)
        self.att_src = nn.Parameter(torch.empty(1, heads, out_channels))
        self.att_dst = nn.Parameter(torch.empty(1, heads, out_channels))
        self.register_parameter("att_edge", None)
        if edge_dim is not None:
            self.lin_edge = nn.Linear(edge_dim, width, bias=False)
            self.att_edge = nn.Parameter(torch.empty(1, heads, out_channels))
        if residual:
            self.res = nn.Linear(destination, out_width, bias=False)
        self.bias = nn.Parameter(torch.empty(out_width)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot uniform weights, zero bias."""
        for layer in (self.lin, self.lin_src, self.lin_dst, self.lin_edge, self.res):
            if layer is not None:
                glorot_linear_(layer)
        for attention in (self.att_src, self.att_dst, self.att_edge):
            if attention is not None:
                glorot_(attention)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        adj: CSR,
        edge_attr: Tensor | None = None,
        *,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            x: [N, F_in], or a pair of [M, F_source] and [N, F_destination] or None (then a_dst has no part).
            adj: N x M, E edges.
            edge_attr: [E, F_edge] (or [E] for one feature) in CSR order; adj.edge_id leads from the caller's to it.
            return_attention_weights: return the weights too, after dropout.
        Returns: [N, H D] or [N, D]; with it the weights [E, H] in the CSR order of adj, or of nn.with_self_loops(adj)
            where loops are added.
        Raises: ValueError for edge_attr of another shape, or without edge_dim.
        """
        source, destination = (x, x) if isinstance(x, Tensor) else x
        lin_src, lin_dst = (self.lin_src, self.lin_dst) if self.lin is None else (self.lin, self.lin)
        alpha_src = _score(source, lin_src, self.att_src)
        if destination is None:
            alpha_dst = alpha_src.new_zeros(adj.num_rows, self.heads)
        else:
            alpha_dst = _score(destination, lin_dst, self.att_dst)
        alpha_edge = None
        if edge_attr is not None:
            edge_attr = edge_features(adj, edge_attr, self.edge_dim)
            if self.add_self_loops:
                edge_attr = looped_features(adj, edge_attr, self.fill_value)
            alpha_edge = _score(edge_attr, self.lin_edge, self.att_edge)
        x_src = lin_src(source).view(-1, self.heads, self.out_channels)
        graph = with_self_loops(adj) if self.add_self_loops else adj

        alpha = None
        if return_attention_weights:
            score = sum_of_ends(graph, alpha_src, alpha_dst)
            score = leaky_relu(score if alpha_edge is None else score + alpha_edge, self.negative_slope)
            alpha = dropout(edge_softmax(graph, score), self.dropout, self.training)
            out = spmm(graph, x_src, alpha)
        else:
            p, seed = attention_dropout(self, self.dropout)
            out = gat_aggregate(graph, x_src, alpha_src, alpha_dst, self.negative_slope, p, seed, alpha_edge)

        out = out.flatten(1) if self.concat else out.mean(1)
        if self.res is not None and destination is not None:
            out = out + self.res(destination)
        if self.bias is not None:
            out = out + self.bias
        return out if alpha is None else (out, alpha)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, heads={self.heads}"


def _score(x: Tensor, lin: nn.Linear, attention: Tensor) -> Tensor:
    """x [rows, F], lin F -> H D, attention a [1, H, D] -> a (W x) as (a W) x: [rows, H], without W x."""
    weight = lin.weight.view(*attention.shape[1:], -1)
    return x @ (attention.transpose(0, 1) @ weight).squeeze(1).t()
