"""Graph transformer: scaled dot-product attention over the neighbors."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from graphkern.csr import CSR
from graphkern.nn.arguments import attention_dropout, channels, edge_features
from graphkern.nn.graphs import edges_of_rows
from graphkern.ops import attention_aggregate, edge_softmax, sddmm, spmm


class TransformerConv(nn.Module):
    """out_i = lin_skip(x_i) + sum over neighbors j of alpha_ij (lin_value(x_j) + lin_edge(e_ij)).

    alpha_ij = softmax over j of lin_query(x_i) (lin_key(x_j) + lin_edge(e_ij)) / sqrt(D), for every head. Takes the
    arguments and the state_dict of PyG's TransformerConv.

    Args:
        in_channels: F_in, or (F_source, F_destination) for a bipartite graph.
        out_channels: D, per head.
        heads: H.
        concat: put the heads side by side, [N, H D]; otherwise their mean, [N, D].
        beta: out_i = b_i s_i + (1 - b_i) m_i of the skip s_i = lin_skip(x_i) and the sum m_i over the neighbors, with
            b_i = sigmoid(lin_beta([m_i, s_i, m_i - s_i])), instead of their sum.
        dropout: probability of an attention weight to be dropped in training. The op's seed comes from torch's default
            generator; under torch.compile this draw breaks the graph.
        edge_dim: F_edge, number of edge features; with it edge_attr must be given.
        bias: of all layers but lin_edge and lin_beta.
        root_weight: without it neither lin_skip nor beta has a part.
    Raises: ValueError for in_channels below 1 (lazy layers).
    Memory: (3 M + 2 N) H D values, nothing of size E. With edge features or returned weights, E H values a few times
        over; lin_edge is applied to rows (to the queries, and to the weighted sums of the features), never to edges.
    Source: Shi et al. 2021 (arXiv:2009.03509).
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        beta: bool = False,
        dropout: float = 0.0,
        edge_dim: int | None = None,
        bias: bool = True,
        root_weight: bool = True,
    ) -> None:
        super().__init__()
        source, destination = channels(in_channels)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.concat = concat
        self.beta = beta and root_weight
        self.dropout = dropout
        self.edge_dim = edge_dim
        self.root_weight = root_weight
        width, out_width = heads * out_channels, heads * out_channels if concat else out_channels
        self.lin_key = nn.Linear(source, width, bias=bias)
        self.lin_query = nn.Linear(destination, width, bias=bias)
        self.lin_value = nn.Linear(source, width, bias=bias)
        self.lin_edge = nn.Linear(edge_dim, width, bias=False) if edge_dim is not None else None
        self.lin_skip = nn.Linear(destination, out_width, bias=bias)
        self.lin_beta = nn.Linear(3 * out_width, 1, bias=False) if self.beta else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """nn.Linear's own initialization, which is also PyG's."""
        for layer in (self.lin_key, self.lin_query, self.lin_value, self.lin_edge, self.lin_skip, self.lin_beta):
            if layer is not None:
                layer.reset_parameters()

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
            return_attention_weights: return the weights too, before dropout.
        Returns: [N, H D] or [N, D]; with it the weights [E, H] in CSR order.
        Raises: ValueError for edge_attr of another shape, without edge_dim, or missing where there is an edge_dim.
        """
        if edge_attr is not None:
            edge_attr = edge_features(adj, edge_attr, self.edge_dim)
        elif self.edge_dim is not None:
            raise ValueError("a layer with edge_dim needs edge_attr")
        source, destination = (x, x) if isinstance(x, Tensor) else x
        shape = (-1, self.heads, self.out_channels)
        query, key = self.lin_query(destination).view(shape), self.lin_key(source).view(shape)
        value = self.lin_value(source).view(shape)

        alpha = None
        if edge_attr is None and not return_attention_weights:
            p, seed = attention_dropout(self, self.dropout)
            out = attention_aggregate(adj, query, key, value, None, p, seed)
        else:
            out, alpha = self._attend(adj, query, key, value, edge_attr)

        out = out.flatten(1) if self.concat else out.mean(1)
        if self.root_weight:
            skip = self.lin_skip(destination)
            if self.lin_beta is None:
                out = out + skip
            else:
                out = torch.lerp(out, skip, self.lin_beta(torch.cat([out, skip, out - skip], 1)).sigmoid())
        if alpha is None or not return_attention_weights:
            return out
        return out, alpha

    def _attend(
        self, adj: CSR, query: Tensor, key: Tensor, value: Tensor, edge_attr: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The sum over the neighbors [N, H, D] and the weights before dropout [E, H]; edge_attr [E, F_edge].

        As lin_edge is linear, q_i lin_edge(e) = (lin_edge^T q_i) e, and the sum of alpha lin_edge(e) is lin_edge of
        the sum of alpha e.
        """
        score = sddmm(adj, query, key)
        if edge_attr is not None and self.lin_edge is not None:
            edges, edge_attr = edges_of_rows(adj), edge_attr.to(query)  # under autocast query is a half
            weight = self.lin_edge.weight.view(self.heads, self.out_channels, -1)
            edge_query = torch.einsum("nhd,hdf->hnf", query, weight)
            score = score + torch.stack([sddmm(edges, head, edge_attr) for head in edge_query], 1)
        alpha = edge_softmax(adj, score / self.out_channels**0.5)
        dropped = dropout(alpha, self.dropout, self.training)
        out = spmm(adj, value, dropped)
        if edge_attr is not None:
            sums = torch.stack([spmm(edges, edge_attr, head) for head in dropped.unbind(1)])
            out = out + torch.einsum("hnf,hdf->nhd", sums, weight)
        return out, alpha

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, heads={self.heads}"
