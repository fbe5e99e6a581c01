"""What all loaders do: the order of an epoch, its batches, where to resume."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from graphkern.loader.features import CachedFeatures
from graphkern.loader.prefetch import in_order

B = TypeVar("B")


class Loader(ABC, Generic[B]):
    """Cuts `num_items` items into batches, anew each epoch.

    Batch b of epoch e is a function of the constructor's arguments, e and b alone, whatever num_threads and prefetch
    are. ``iter()`` begins the next epoch, also where the one before was left early; after ``load_state_dict`` it
    goes on in the middle of one. Threads stop with the loop that reads the batches, however it ends.
    """

    def __init__(
        self,
        num_items: int,
        *,
        batch_size: int,
        shuffle: bool,
        drop_last: bool,
        num_threads: int,
        prefetch: int,
        seed: int,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_threads", num_threads, 0),
            ("prefetch", prefetch, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least} but is {value}")
        self.num_items = num_items
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.num_threads = num_threads
        self.prefetch = prefetch
        self.seed = int(seed)
        self._epoch = self._next = 0
        self._at_start = True  # the next iter() begins at batch _next of _epoch, not a new epoch

    def __len__(self) -> int:
        """Batches an epoch."""
        full, rest = divmod(self.num_items, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[B]:
        if not self._at_start:
            self._epoch, self._next = self._epoch + 1, 0
        self._at_start = False
        return self._batches(self._epoch, self._next)

    def state_dict(self) -> dict[str, int]:
        """Where the latest iterator is: `epoch` and `batch`, the number of the next one; beside them what must agree
        for the batches to be the same."""
        return {"epoch": self._epoch, "batch": self._next, **self._identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next iter() goes on where state was taken, with the batches that would have followed there.

        Raises: ValueError if the state is of a loader with another seed, batch size, order or number of items.
        """
        for name, value in self._identity().items():
            if state[name] != value:
                raise ValueError(f"the state is of a loader with {name} {state[name]}, but this one has {value}")
        if state["epoch"] < 0 or not 0 <= state["batch"] <= len(self):
            raise ValueError(f"no batch {state['batch']} of {len(self)} in epoch {state['epoch']}")
        self._epoch, self._next, self._at_start = state["epoch"], state["batch"], True

    @abstractmethod
    def _make(self, items: Tensor, seed: int) -> B:
        """The batch of these items, numbers in [0, num_items), int64. Called from several threads at once."""

    def _identity(self) -> dict[str, int]:
        names = ("seed", "batch_size", "shuffle", "num_items")
        return {name: int(getattr(self, name)) for name in names}

    def _batches(self, epoch: int, first: int) -> Iterator[B]:
        make = partial(self._make_batch, epoch, self._order(epoch))
        numbers = range(first, len(self))
        with closing(in_order(make, numbers, self.num_threads, self.prefetch)) as batches:
            for number, batch in enumerate(batches, first):
                self._move(epoch, epoch, number + 1)
                yield batch
        if self._move(epoch, epoch + 1, 0):
            self._at_start = True

    def _move(self, epoch: int, to_epoch: int, batch: int) -> bool:
        """Note the position of the iterator of epoch, unless a later one was started."""
        latest = self._epoch == epoch
        if latest:
            self._epoch, self._next = to_epoch, batch
        return latest

    def _order(self, epoch: int) -> Tensor | None:
        if not self.shuffle:
            return None
        generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
        return torch.randperm(self.num_items, generator=generator)

    def _make_batch(self, epoch: int, order: Tensor | None, number: int) -> B:
        begin = number * self.batch_size
        end = min(begin + self.batch_size, self.num_items)
        items = torch.arange(begin, end) if order is None else order[begin:end]
        with torch.no_grad():
            return self._make(items, derived_seed(self.seed, epoch, number))


def derived_seed(*numbers: int) -> int:
    """An int64 seed for what these numbers name; near numbers give seeds that have nothing in common."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def check_rows(rows: Any, name: str, size: int, of: str) -> None:
    """rows is None, or a Tensor or CachedFeatures with `size` rows, one for each of `of`. TypeError or ValueError
    otherwise."""
    if rows is None:
        return
    if not isinstance(rows, Tensor | CachedFeatures):
        raise TypeError(f"{name} must be a Tensor but is {type(rows).__name__}")
    if len(rows.shape) == 0 or rows.shape[0] != size:
        raise ValueError(f"{name} must have a row for each of {size} {of} but is {list(rows.shape)}")
