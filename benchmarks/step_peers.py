"""Training steps on (user, item) pairs: ours and what a user would call otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import graphkern

from .graphs import Absent
from .measure import LIMITS, TensorsCall, relative_error
from .ranking_peers import compiled

# Adam and SparseAdam add eps at different places: one too small to tell.
OPTIONS: dict[str, dict[str, float]] = {"Adam": {"lr": 1e-3, "eps": 1e-18}, "Adagrad": {"lr": 1e-2}}
OURS = {
    "bpr": graphkern.bpr_loss,
    "bce": graphkern.bce_loss,
    "Adam": graphkern.optim.RowwiseAdam,
    "Adagrad": graphkern.optim.RowwiseAdagrad,
}
Loss = Callable[..., Tensor]  # user [U, D], item [I, D], *batch -> [B]
Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Training:
    """loss: "bpr", batches of (u, i, j), or "bce", of (u, i, label); optimizer: "Adam" or "Adagrad"."""

    loss: str
    optimizer: str
    user: Tensor
    item: Tensor
    batches: list[tuple[Tensor, Tensor, Tensor]]


def _eager(kind: str, sparse: bool) -> Loss:
    def rows(table: Tensor, index: Tensor) -> Tensor:
        return functional.embedding(index, table, sparse=sparse)

    def bpr(user: Tensor, item: Tensor, u: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return -functional.logsigmoid((rows(user, u) * (rows(item, i) - rows(item, j))).sum(1))

    def bce(user: Tensor, item: Tensor, u: Tensor, i: Tensor, label: Tensor) -> Tensor:
        score = (rows(user, u) * rows(item, i)).sum(1)
        return functional.binary_cross_entropy_with_logits(score, label, reduction="none")

    return bpr if kind == "bpr" else bce


class Trainer:
    """Tables of its own, which each call moves by a step for each batch."""

    def __init__(self, training: Training, loss: Loss, optimizer: Optimizer) -> None:
        self._start = training.user, training.item
        self._tables = [table.clone().requires_grad_() for table in self._start]
        self._loss, self._optimizer = loss, optimizer(self._tables)
        self._batches = training.batches

    def __call__(self) -> list[Tensor]:
        for batch in self._batches:
            self._step(batch)
        return []

    def first_step(self) -> list[Tensor]:
        """What the first batch changes in the tables."""
        self._step(self._batches[0])
        return [(now - start).detach() for now, start in zip(self._tables, self._start, strict=True)]

    def _step(self, batch: tuple[Tensor, ...]) -> None:
        self._loss(*self._tables, *batch).mean().backward()
        self._optimizer.step()
        self._optimizer.zero_grad()


def ours(training: Training) -> Trainer:
    loss, optimizer = OURS[training.loss], OURS[training.optimizer]
    options = OPTIONS[training.optimizer]
    return Trainer(training, lambda *args: loss(*args, sparse=True), lambda tables: optimizer(tables, **options))


def step_peers(training: Training) -> dict[str, Callable[[], TensorsCall]]:
    """Each checked against ours on the first step, where optimizers of rows and of whole tables do the same."""
    name, options = training.optimizer, OPTIONS[training.optimizer]
    want = ours(training).first_step()

    def dense(**more: Any) -> Optimizer:
        return lambda tables: getattr(torch.optim, name)(tables, **options, **more)

    def sparse(tables: list[Tensor]) -> torch.optim.Optimizer:
        return getattr(torch.optim, {"Adam": "SparseAdam"}.get(name, name))(tables, **options)

    def checked(loss: Callable[[], Loss], optimizer: Optimizer) -> Callable[[], TensorsCall]:
        def make() -> TensorsCall:
            trainer = Trainer(training, loss(), optimizer)
            error = relative_error(trainer.first_step(), want)
            if not error < LIMITS[torch.float32]:
                raise Absent(f"wrong: relative error {error:.0e} after a step")
            return trainer

        return make

    eager = _eager(training.loss, sparse=False)
    return {
        "eager": checked(lambda: eager, dense()),
        f"eager, fused {name}": checked(lambda: eager, dense(fused=True)),
        "eager, sparse gradients": checked(lambda: _eager(training.loss, sparse=True), sparse),
        "compiled": checked(lambda: compiled(eager), dense()),
    }
