"""Recommendations for one user, with the neighbors and the texts that speak for each."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from graphkern.align import item_texts
from graphkern.graph import Dataset, Split, load_dataset, make_split
from graphkern.graph.pairs import take_rows
from graphkern.ops import topk_scores
from graphkern.rank.checkpoint import load_checkpoint, save_checkpoint
from graphkern.rank.config import ExperimentConfig
from graphkern.rank.evaluate import rank_items
from graphkern.rank.model import Recommender

_FILE = "serving.pt"


class Neighbor(NamedTuple):
    name: str
    similarity: float


@dataclass(frozen=True)
class Reason:
    """What speaks for an item.

    items: the user's train items most similar to it, by cosine of their embeddings.
    users: the users most similar to this one of those that have the item in train.
    text: the item's text; text_match is the cosine of its projection and the user's embedding, and text_rank the place
        that it would have among the warm items by text alone, from 1.
    """

    items: list[Neighbor]
    users: list[Neighbor]
    text: str
    text_match: float
    text_rank: int


@dataclass(frozen=True)
class Recommendation:
    """score: cosine of the user's and the item's embeddings. is_test_hit: the user has the item in the test part."""

    item: str
    title: str
    score: float
    is_test_hit: bool
    reason: Reason


class Serving:
    """A trained model as embeddings, with the dataset that they are of.

    Args:
        user, item: [U, D] and [I, D] to rank by; item_from_text: [I, D], the items' projected texts.
    """

    def __init__(self, dataset: Dataset, split: Split, user: Tensor, item: Tensor, item_from_text: Tensor) -> None:
        self.dataset = dataset
        self.split = split
        self.user = user
        self.item = item
        self.item_from_text = item_from_text
        self._texts = item_texts(dataset.items)
        self._seen = split.seen()

    @classmethod
    def load(cls, config: ExperimentConfig) -> "Serving":
        """The model that a run serves.

        Raises: FileNotFoundError if the run is not finished; ValueError if the dataset has changed since.
        """
        dataset = load_dataset(config.data)
        split = make_split(dataset, config.split)
        path = config.output / _FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: run `graphkern train` first")
        state = load_checkpoint(path, split.fingerprint())
        return cls(dataset, split, state["user"], state["item"], state["item_from_text"])

    def recommend(self, user: int, k: int, cold: bool = False) -> list[Recommendation]:
        """The k best items that the user has not in train or validation, best first; fewer if there are not as many.

        Args:
            cold: rank the strict-cold items among themselves instead of the warm ones.
        Raises: ValueError if k is below 1.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1 but is {k}")
        candidates = self.split.cold_items if cold else self.split.warm_items()
        scores, items = rank_items((self.user, self.item), torch.tensor([user]), k, candidates, self._seen)
        found = [(item, score) for item, score in zip(items[0].tolist(), scores[0].tolist(), strict=True) if item >= 0]
        test = self.split.cold_test if cold else self.split.test
        hits = set(take_rows(test, torch.tensor([user])).indices.tolist())
        match = self.item_from_text @ self.user[user]
        return [
            Recommendation(
                item=self.dataset.item_ids[item],
                title=self._title(item),
                score=score,
                is_test_hit=item in hits,
                reason=self._reason(user, item, match, candidates),
            )
            for item, score in found
        ]

    def _reason(self, user: int, item: int, match: Tensor, candidates: Tensor, count: int = 3) -> Reason:
        """match: [I], the cosine of each item's projected text and the user's embedding."""
        own = take_rows(self.split.train, torch.tensor([user])).indices
        others = take_rows(self.split.train.t(), torch.tensor([item])).indices
        return Reason(
            items=[Neighbor(self._title(i), s) for i, s in _nearest(self.item[item], self.item, own, count)],
            users=[
                Neighbor(self.dataset.user_ids[u], s) for u, s in _nearest(self.user[user], self.user, others, count)
            ],
            text=self._texts[item],
            text_match=float(match[item]),
            text_rank=1 + int((match[candidates] > match[item]).sum()),
        )

    def _title(self, item: int) -> str:
        titles = self.dataset.items.title
        return titles[item] if titles else self.dataset.item_ids[item]


def save_serving(output: Path, model: Recommender, split: Split) -> None:
    """Write what Serving.load reads into a run's folder. The model is in evaluation mode."""
    user, item = model.embeddings()
    with torch.no_grad():
        _, item_from_text = model.text_embeddings()
    state = {"fingerprint": split.fingerprint(), "user": user, "item": item, "item_from_text": item_from_text}
    save_checkpoint(output / _FILE, state)


def _nearest(query: Tensor, rows: Tensor, among: Tensor, count: int) -> list[tuple[int, float]]:
    """The count nodes of `among` with the largest dot product with query, best first."""
    if len(among) == 0:
        return []
    values, positions = topk_scores(query.unsqueeze(0), rows[among], min(count, len(among)))
    return list(zip(among[positions[0]].tolist(), values[0].tolist(), strict=True))
