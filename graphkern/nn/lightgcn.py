"""LightGCN: embeddings propagated over a graph, without weights or nonlinearities."""

import torch
from torch import Tensor, nn

from graphkern.csr import CSR
from graphkern.nn.norm import GCNNorm, gcn_norm
from graphkern.ops import sddmm, spmm


class LightGCN(nn.Module):
    """sum over l of alpha_l A^l e, with A the symmetrically normalized graph and e the embedding of its nodes.

    Takes the arguments and the state_dict of PyG's models.LightGCN. For users and items, adj is graph.bipartite(train).

    Args:
        num_nodes, embedding_dim: N, D.
        num_layers: L.
        alpha: the weight of every layer, or [L + 1] weights, the embedding's own first; None is 1 / (L + 1).
        normalize: False leaves the graph as it is.
    Raises: ValueError for an alpha of another shape.
    Source: He et al. 2020 (arXiv:2002.02126).
    """

    alpha: Tensor

    def __init__(
        self,
        num_nodes: int,
        embedding_dim: int,
        num_layers: int,
        alpha: float | Tensor | None = None,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(alpha, Tensor):
            if alpha.shape != (num_layers + 1,):
                raise ValueError(f"alpha must be [{num_layers + 1}] but is {list(alpha.shape)}")
        else:
            alpha = torch.full((num_layers + 1,), 1 / (num_layers + 1) if alpha is None else float(alpha))
        self.num_nodes = num_nodes
        self.embedding_dim = embedding_dim
        self.num_layers = num_layers
        self.normalize = normalize
        self.register_buffer("alpha", alpha)
        self.embedding = nn.Embedding(num_nodes, embedding_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.embedding.weight)

    def propagate(self, x: Tensor, adj: CSR, edge_weight: Tensor | None = None) -> Tensor:
        """The layers over x instead of the embedding: x [N, D], adj N x N, edge_weight [E] in CSR order -> [N, D]."""
        norm: GCNNorm | None = gcn_norm(adj, edge_weight, None, x.dtype) if self.normalize else None
        out = self.alpha[0] * x
        for weight in self.alpha[1:]:
            x = spmm(adj, x, edge_weight) if norm is None else norm.apply(x)
            out = out + weight * x
        return out

    def get_embedding(self, adj: CSR, edge_weight: Tensor | None = None) -> Tensor:
        """The final embedding of all nodes, [N, D]."""
        return self.propagate(self.embedding.weight, adj, edge_weight)

    def forward(self, adj: CSR, edge_label_index: Tensor | None = None, edge_weight: Tensor | None = None) -> Tensor:
        """Scores of the pairs edge_label_index, integer [2, P] -> [P]; without it of the edges of adj, in CSR order."""
        out = self.get_embedding(adj, edge_weight)
        if edge_label_index is None:
            return sddmm(adj, out, out)
        source, destination = edge_label_index
        return (out[source] * out[destination]).sum(1)

    def extra_repr(self) -> str:
        return f"{self.num_nodes}, {self.embedding_dim}, num_layers={self.num_layers}"
