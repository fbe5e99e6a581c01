"""Splitting a dataset into train, validation, test and strict-cold parts."""

import hashlib
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from graphkern.csr import CSR
from graphkern.graph.dataset import Dataset
from graphkern.graph.pairs import sorted_csr


class SplitConfig(BaseModel):
    """valid and test are shares of each user's interactions, cold_items a share of the items."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Literal["time", "random"] = "time"
    valid: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.2, ge=0, lt=1)
    cold_items: float = Field(0.1, ge=0, lt=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _leaves_train(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid {self.valid} and test {self.test} leave nothing to train on")
        return self


@dataclass(frozen=True)
class Split:
    """Disjoint sets of (user, item) pairs, each a CSR of num_users x num_items with sorted rows.

    An item is warm if it has train interactions. train, valid and test hold warm items only. cold_items, int64 [C] and
    sorted, are the items whose interactions are all in cold_test; cold_test has no user without train interactions.
    """

    train: CSR
    valid: CSR
    test: CSR
    cold_test: CSR
    cold_items: Tensor

    @property
    def num_users(self) -> int:
        return self.train.num_rows

    @property
    def num_items(self) -> int:
        return self.train.num_cols

    def warm_items(self) -> Tensor:
        """The items with train interactions, int64, sorted."""
        return torch.nonzero(self.train.t().degree()).flatten()

    def seen(self) -> CSR:
        """The pairs of train and valid together, which a test of the model leaves out of its rankings."""
        row = torch.cat([self.train.row_index(), self.valid.row_index()])
        col = torch.cat([self.train.indices, self.valid.indices])
        return sorted_csr(row, col, self.num_users, self.num_items)

    def fingerprint(self) -> str:
        """SHA-256 of every part, in hex: equal splits have equal fingerprints on every platform."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test, self.cold_test):
            for values in (torch.tensor([part.num_rows, part.num_cols]), part.indptr, part.indices):
                digest.update(values.numpy().astype("<i8").tobytes())
        digest.update(self.cold_items.numpy().astype("<i8").tobytes())
        return digest.hexdigest()


def make_split(dataset: Dataset, config: SplitConfig) -> Split:
    """Hide some items as strict-cold, then split what is left of each user by time or at random.

    Of the n pairs of a user, the last round(test * n) go to test and the round(valid * n) before them to valid, but one
    at least stays in train. A pair with several behaviors counts once, at its earliest time; equal times keep the order
    of the file. Valid and test pairs of items that train never shows join cold_test, and their items cold_items.

    Equal datasets and configs give equal splits on every platform with the same random streams of NumPy.
    Raises: ValueError if there are no interactions, or no times for the strategy "time".
    """
    if dataset.user.shape[0] == 0:
        raise ValueError(f"dataset {dataset.name} has no interactions to split")
    if config.strategy == "time" and dataset.time is None:
        raise ValueError(f'dataset {dataset.name} has no times: use the strategy "random"')
    random = np.random.default_rng(config.seed)
    user, item = _pairs_by_time(dataset)
    is_hidden = _hidden_items(item, dataset.num_items, config.cold_items, random)
    order = np.arange(len(user)) if config.strategy == "time" else random.permutation(len(user))
    kept = order[~is_hidden[item[order]]]
    train, valid, test = (kept[part] for part in _last_shares(user[kept], config))

    is_warm, has_train = np.zeros(dataset.num_items, bool), np.zeros(dataset.num_users, bool)
    is_warm[item[train]] = has_train[user[train]] = True
    cold = np.flatnonzero(~is_warm[item] & has_train[user])

    def to_csr(pairs: np.ndarray) -> CSR:
        row, col = torch.from_numpy(user[pairs]), torch.from_numpy(item[pairs])
        return sorted_csr(row, col, dataset.num_users, dataset.num_items)

    return Split(
        train=to_csr(train),
        valid=to_csr(valid[is_warm[item[valid]]]),
        test=to_csr(test[is_warm[item[test]]]),
        cold_test=to_csr(cold),
        cold_items=torch.from_numpy(np.unique(item[cold])),
    )


def predefined_split(train: CSR, test: CSR) -> Split:
    """A split that somebody else made: no validation part, no cold items."""
    none = torch.empty(0, dtype=torch.int64)
    empty = sorted_csr(none, none, train.num_rows, train.num_cols)
    return Split(train=train, valid=empty, test=test, cold_test=empty, cold_items=none)


def _pairs_by_time(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The distinct (user, item) pairs, int64, by earliest time and then by position in the file."""
    user, item = dataset.user.numpy(), dataset.item.numpy()
    order = np.arange(len(user)) if dataset.time is None else np.argsort(dataset.time.numpy(), kind="stable")
    _, first = np.unique(user[order] * dataset.num_items + item[order], return_index=True)
    order = order[np.sort(first)]
    return user[order], item[order]


def _hidden_items(item: np.ndarray, num_items: int, share: float, random: np.random.Generator) -> np.ndarray:
    """Mark a share of the items that occur, drawn uniformly, but never all of them. Returns: bool [num_items]."""
    candidates = np.unique(item)
    count = min(int(share * len(candidates) + 0.5), len(candidates) - 1)
    is_hidden = np.zeros(num_items, bool)
    is_hidden[random.choice(candidates, count, replace=False)] = True
    return is_hidden


def _last_shares(user: np.ndarray, config: SplitConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the train, valid and test pairs; the later of a user's pairs are those further back in `user`."""
    order = np.argsort(user, kind="stable")
    count = np.bincount(user)
    start = np.cumsum(count) - count
    num_test = np.minimum(np.floor(config.test * count + 0.5), count - 1)
    num_valid = np.minimum(np.floor(config.valid * count + 0.5), count - 1 - num_test)
    owner = user[order]
    from_end = (start + count)[owner] - np.arange(len(user))
    is_test = from_end <= num_test[owner]
    is_valid = ~is_test & (from_end <= (num_test + num_valid)[owner])
    return order[~is_test & ~is_valid], order[is_valid], order[is_test]
