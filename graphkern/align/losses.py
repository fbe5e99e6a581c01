"""Alignment of graph embeddings with projected text embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkern.ops import info_nce


class TextProjection(nn.Module):
    """The map from a text space [N, D_text] to the graph's [N, D], as unit rows: dropout, linear, LeakyReLU, linear.

    The hidden width is (D_text + D) / 2.
    Source: Ren et al. 2024, RLMRec (arXiv:2310.15950), with dropout on its input.
    """

    def __init__(self, text_dim: int, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = (text_dim + dim) // 2
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(text_dim, hidden), nn.LeakyReLU(), nn.Linear(hidden, dim)
        )

    def forward(self, text: Tensor) -> Tensor:
        return F.normalize(self.layers(text), dim=1)


def node_alignment(graph: Tensor, text: Tensor, temperature: float) -> Tensor:
    """InfoNCE that asks of each node's graph embedding which text is its own, among those of all N nodes given.

    -cos(g_n, t_n) / temperature + log sum over n' of exp(cos(g_n, t_n') / temperature), averaged over n

    Args:
        graph, text: [N, D], rows of length 1.
    Returns: scalar, differentiable in both.
    Raises: ValueError if the shapes differ.
    Source: Ren et al. 2024, RLMRec-Con (arXiv:2310.15950).
    """
    if graph.shape != text.shape:
        raise ValueError(f"graph is {list(graph.shape)} but text is {list(text.shape)}")
    return info_nce(graph, text, temperature=temperature).mean()


def shuffled_rows(x: Tensor, seed: int) -> Tensor:
    """The rows of x in an order drawn from seed: the control in which no node keeps its own text but by chance."""
    return x[torch.randperm(x.shape[0], generator=torch.Generator().manual_seed(seed))]
