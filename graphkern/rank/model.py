"""The recommender: LightGCN over users and items, aligned with their texts."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from graphkern.align import TextProjection, node_alignment
from graphkern.csr import CSR
from graphkern.graph import bipartite
from graphkern.nn import LightGCN
from graphkern.ops import info_nce


class ModelConfig(BaseModel):
    """The graph encoder and its ranking loss.

    loss: on cosines over temperature; softmax over all warm items, or bpr or bce against one random warm item each.
    l2: weight of the squared length of the batch's input embeddings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int = Field(default=64, ge=1)
    num_layers: int = Field(default=2, ge=0)
    loss: Literal["softmax", "bpr", "bce"] = "softmax"
    temperature: float = Field(default=0.15, gt=0)
    l2: float = Field(default=0.0, ge=0)


class AlignmentConfig(BaseModel):
    """The alignment of nodes with their texts; weight 0 trains without it.

    batch_size: users, and as many items, drawn at each step to be told apart by their texts.
    dropout: on the text embeddings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=0.02, ge=0)
    temperature: float = Field(default=0.2, gt=0)
    batch_size: int = Field(default=512, ge=1)
    dropout: float = Field(default=0.5, ge=0, lt=1)


class Recommender(nn.Module):
    """Scores a user and an item by the cosine of their embeddings.

    A node with train interactions has the embedding that LightGCN gives it. A node without any, a strict-cold item or a
    new user, has its projected text, which alignment trains to lie where the graph would have put the node.

    Args:
        train: U x I, at least one edge.
        user_text, item_text: [U, T] and [I, T] text embeddings; used relative to their mean.
    Raises: ValueError for a train without edges or texts of another number of rows.
    """

    user_text: Tensor
    item_text: Tensor
    _warm: Tensor
    _position: Tensor

    def __init__(
        self, model: ModelConfig, alignment: AlignmentConfig, train: CSR, user_text: Tensor, item_text: Tensor
    ) -> None:
        super().__init__()
        if train.num_edges == 0:
            raise ValueError("there are no train interactions")
        if (len(user_text), len(item_text)) != (train.num_rows, train.num_cols):
            texts = f"{len(user_text)} user and {len(item_text)} item texts"
            raise ValueError(f"{texts} for {train.num_rows} users and {train.num_cols} items")
        self.config = model
        self.alignment = alignment
        self.train_pairs = train
        self._graph = bipartite(train)
        self.encoder = LightGCN(train.num_rows + train.num_cols, model.dim, model.num_layers)
        self.user_projection = TextProjection(user_text.shape[1], model.dim, alignment.dropout)
        self.item_projection = TextProjection(item_text.shape[1], model.dim, alignment.dropout)
        self.register_buffer("user_text", user_text - user_text.mean(0), persistent=False)
        self.register_buffer("item_text", item_text - item_text.mean(0), persistent=False)
        warm = torch.unique(train.indices)
        position = torch.full((train.num_cols,), -1)
        position[warm] = torch.arange(len(warm))
        self.register_buffer("_warm", warm, persistent=False)  # the items with train interactions
        self.register_buffer("_position", position, persistent=False)  # of an item among them

    def graph_embeddings(self) -> tuple[Tensor, Tensor]:
        """Users [U, D] and items [I, D] as LightGCN sees them, rows of length 1."""
        embedding = F.normalize(self.encoder.get_embedding(self._graph), dim=1)
        return embedding[: self.train_pairs.num_rows], embedding[self.train_pairs.num_rows :]

    def text_embeddings(self) -> tuple[Tensor, Tensor]:
        """Users [U, D] and items [I, D] as their texts describe them, rows of length 1."""
        return self.user_projection(self.user_text), self.item_projection(self.item_text)

    @torch.no_grad()
    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Users [U, D] and items [I, D] to rank by, without dropout, rows of length 1."""
        was_training = self.training
        self.eval()
        (user, item), (user_from_text, item_from_text) = self.graph_embeddings(), self.text_embeddings()
        self.train(was_training)
        user_is_warm = (self.train_pairs.degree() > 0).unsqueeze(1)
        item_is_warm = (self._position >= 0).unsqueeze(1)
        return torch.where(user_is_warm, user, user_from_text), torch.where(item_is_warm, item, item_from_text)

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The ranking loss of B train pairs and the alignment loss of nodes drawn from torch's generator.

        Args:
            users, items: int64 [B], items warm.
        Returns: two scalars, the second not yet weighted, and 0 if its weight is.
        """
        user, item = self.graph_embeddings()
        ranking = self._ranking_loss(user, item, users, items)
        if self.alignment.weight == 0:
            return ranking, torch.zeros(())
        some_users = torch.randperm(len(user))[: self.alignment.batch_size]
        some_items = self._warm[torch.randperm(len(self._warm))[: self.alignment.batch_size]]
        user_text = self.user_projection(self.user_text[some_users])
        item_text = self.item_projection(self.item_text[some_items])
        temperature = self.alignment.temperature
        return ranking, (
            node_alignment(F.embedding(some_users, user), user_text, temperature)
            + node_alignment(F.embedding(some_items, item), item_text, temperature)
        )

    def _ranking_loss(self, user: Tensor, item: Tensor, users: Tensor, items: Tensor) -> Tensor:
        # F.embedding, not indexing: with several threads the gradient of an index is not the same in every run
        query, temperature = F.embedding(users, user), self.config.temperature
        rows = [users, len(user) + items]
        if self.config.loss == "softmax":
            loss = info_nce(query, F.embedding(self._warm, item), self._position[items], temperature).mean()
        else:
            others = self._warm[torch.randint(len(self._warm), items.shape)]
            rows.append(len(user) + others)
            positive = (query * F.embedding(items, item)).sum(1) / temperature
            negative = (query * F.embedding(others, item)).sum(1) / temperature
            if self.config.loss == "bpr":
                loss = F.softplus(negative - positive).mean()
            else:
                loss = (F.softplus(-positive) + F.softplus(negative)).mean()
        if self.config.l2 > 0:
            inputs = F.embedding(torch.cat(rows), self.encoder.embedding.weight)
            loss = loss + self.config.l2 * inputs.square().sum() / len(users)
        return loss
