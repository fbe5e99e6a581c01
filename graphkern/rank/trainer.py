"""Training a recommender: early stopping on validation, checkpoints, exact resumption."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from graphkern.graph import Split
from graphkern.rank.checkpoint import load_checkpoint, save_checkpoint
from graphkern.rank.evaluate import evaluate
from graphkern.rank.model import Recommender


class TrainConfig(BaseModel):
    """How to train.

    lr, projection_lr: Adam's rates for the graph's embeddings and for the text projections.
    patience: epochs without a better metric on validation before training stops.
    metric: what evaluate calls it, "ndcg@20".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=2048, ge=1)
    lr: float = Field(default=0.03, gt=0)
    projection_lr: float = Field(default=0.003, gt=0)
    patience: int = Field(default=3, ge=1)
    metric: str = Field(default="ndcg@20", pattern=r"^[a-z]+@[1-9][0-9]*$")


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: mean losses over its batches, the metric on validation, and seconds with validation."""

    number: int
    ranking_loss: float
    alignment_loss: float
    metric: float
    seconds: float


class Trainer:
    """Trains a model on split.train and keeps its best state on split.valid.

    All randomness of an epoch comes from (seed, number of the epoch), so that training that was interrupted and resumed
    from its checkpoint ends in the same bits as training that was not. torch's global generator is left as it was.

    Args:
        model: made with the wanted initialization, seeds included: see seeded.
        checkpoint: file to write after each epoch, and to continue from if it exists; None keeps the state in memory.
    Raises: ValueError if the checkpoint comes from other data, settings (epochs and patience apart) or another seed, or
        if the split has no validation part.
    """

    def __init__(
        self,
        model: Recommender,
        split: Split,
        config: TrainConfig,
        seed: int = 0,
        checkpoint: Path | None = None,
        label: str = "training",
    ) -> None:
        if split.valid.num_edges == 0:
            raise ValueError("the split has no validation part to stop on")
        self.model = model
        self.split = split
        self.config = config
        self.seed = seed
        self.checkpoint = checkpoint
        self.label = label
        self.history: list[Epoch] = []
        projections = [*model.user_projection.parameters(), *model.item_projection.parameters()]
        groups = [
            {"params": list(model.encoder.parameters()), "lr": config.lr},
            {"params": projections, "lr": config.projection_lr},
        ]
        self._optimizer = torch.optim.Adam(groups)
        self._best_state = _copy(model.state_dict())
        if checkpoint is not None and checkpoint.exists():
            self._resume(load_checkpoint(checkpoint, self.fingerprint))

    @property
    def best(self) -> Epoch | None:
        """The epoch with the best metric, the first of equals; None before the first."""
        return max(self.history, key=lambda epoch: epoch.metric, default=None)

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex of all that the outcome of an epoch depends on."""
        settings = [
            self.model.config.model_dump_json(),
            self.model.alignment.model_dump_json(),
            self.config.model_dump_json(exclude={"epochs", "patience"}),
            json.dumps([self.seed, self.split.fingerprint()]),
        ]
        digest = hashlib.sha256("\n".join(settings).encode())
        for text in (self.model.user_text, self.model.item_text):
            digest.update(text.numpy().tobytes())
        return digest.hexdigest()

    def fit(self) -> Recommender:
        """Train until config.epochs or until patience ends, and return the model in its best state."""
        from tqdm import tqdm

        batches = -(-self.split.train.num_edges // self.config.batch_size)
        total, done = batches * self.config.epochs, batches * len(self.history)
        # disable=None: no bar where the output is not a terminal
        with tqdm(total=total, initial=done, desc=self.label, unit="batch", disable=None, leave=False) as bar:
            while not self.is_over:
                self._epoch(bar)
                bar.set_postfix({self.config.metric: f"{self.history[-1].metric:.4f}"})
        self.model.load_state_dict(self._best_state)
        return self.model.eval()

    @property
    def is_over(self) -> bool:
        """Whether fit has no epoch left to train."""
        if self.best is None:
            return False
        last = len(self.history)
        return last >= self.config.epochs or last - self.best.number >= self.config.patience

    def _epoch(self, bar: Any) -> None:
        start, number = time.perf_counter(), len(self.history) + 1
        self.model.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed_of(self.seed, number))
            losses = self._pass(bar)
        metric = self._validate()
        ranking, alignment = losses.mean(0).tolist()
        is_best = self.best is None or metric > self.best.metric
        self.history.append(Epoch(number, ranking, alignment, metric, time.perf_counter() - start))
        if is_best:
            self._best_state = _copy(self.model.state_dict())
        if self.checkpoint is not None:
            self._save(self.checkpoint)

    def _pass(self, bar: Any) -> Tensor:
        """One step for each batch of shuffled train pairs. Returns: ranking and alignment losses, [batches, 2]."""
        train = self.split.train
        users, items = train.row_index(), train.indices
        losses = []
        for batch in torch.randperm(train.num_edges).split(self.config.batch_size):
            ranking, alignment = self.model(users[batch], items[batch])
            self._optimizer.zero_grad()
            (ranking + self.model.alignment.weight * alignment).backward()
            self._optimizer.step()
            losses.append(torch.stack([ranking.detach(), alignment.detach()]))
            bar.update()
        return torch.stack(losses)

    def _validate(self) -> float:
        metric = self.config.metric
        return evaluate(self.model.embeddings(), self.split, "valid", [int(metric.partition("@")[2])])[metric]

    def _save(self, path: Path) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "best_model": self._best_state,
            "optimizer": self._optimizer.state_dict(),
            "history": [vars(epoch) for epoch in self.history],
        }
        save_checkpoint(path, state)

    def _resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._best_state = state["best_model"]
        self.history = [Epoch(**epoch) for epoch in state["history"]]


def seeded(seed: int, make_model: Callable[[], Recommender]) -> Recommender:
    """make_model() with its initial weights drawn from seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed_of(seed, 0))
        return make_model()


def _seed_of(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
