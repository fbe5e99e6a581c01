"""Recommenders without training, for the table: popularity, EASE and GF-CF."""

import math
from collections.abc import Iterable
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.graph.pairs import take_rows, to_dense
from graphkern.graph.split import Split
from graphkern.ops import spmm
from graphkern.rank.evaluate import evaluate


class Baseline(Protocol):
    """fit takes the train pairs, U x I; scores takes users int64 [B] and returns scores [B, I], float32."""

    def fit(self, train: CSR) -> Self: ...

    def scores(self, users: Tensor) -> Tensor: ...


AnyBaseline = TypeVar("AnyBaseline", bound=Baseline)


class Popularity:
    """An item's score is its number of train interactions."""

    def fit(self, train: CSR) -> Self:
        self._count = train.t().degree().float()
        return self

    def scores(self, users: Tensor) -> Tensor:
        return self._count.repeat(len(users), 1)

    def __repr__(self) -> str:
        return "Popularity()"


class EASE:
    """Linear regression of each item on all others, in closed form: P = (R^T R + weight_decay I)^-1,
    W = I - P diag(P)^-1, scores R W.

    Cost: I x I floats and O(I^3) time.
    Source: Steck 2019 (arXiv:1905.03375).
    """

    def __init__(self, weight_decay: float = 50.0) -> None:
        self.weight_decay = weight_decay

    def fit(self, train: CSR) -> Self:
        gram = spmm(train.t(), to_dense(train))
        gram.diagonal().add_(self.weight_decay)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        self._weight = -inverse / inverse.diagonal()
        self._weight.fill_diagonal_(0)
        self._train = train
        return self

    def scores(self, users: Tensor) -> Tensor:
        return spmm(take_rows(self._train, users), self._weight)

    def __repr__(self) -> str:
        return f"EASE(weight_decay={self.weight_decay})"


class GFCF:
    """Graph filtering: scores R N^T N + ideal_weight * R D_i^-1/2 V V^T D_i^1/2, where N = D_u^-1/2 R D_i^-1/2 and the
    columns of V are the top `rank` right singular vectors of N.

    Cost: (U + I) * 8 (rank + 32) floats; a call of scores makes two spmm with one column a user.
    Source: Shen et al. 2021 (arXiv:2108.07567).
    """

    def __init__(self, rank: int = 128, ideal_weight: float = 0.3) -> None:
        self.rank = rank
        self.ideal_weight = ideal_weight

    def fit(self, train: CSR) -> Self:
        self._train = train
        self._user_degree = train.degree().float().clamp(min=1).unsqueeze(1)
        self._item_degree = train.t().degree().float().clamp(min=1).unsqueeze(1)
        self._vectors = self._right_vectors()
        return self

    def scores(self, users: Tensor) -> Tensor:
        rows = to_dense(take_rows(self._train, users)).t().contiguous()
        local = self._spread_back(self._spread(rows))
        ideal = self._vectors @ (self._vectors.t() @ (rows / self._item_degree.sqrt())) * self._item_degree.sqrt()
        return (local + self.ideal_weight * ideal).t()

    def _spread(self, x: Tensor) -> Tensor:
        """N x."""
        return spmm(self._train, x / self._item_degree.sqrt()) / self._user_degree.sqrt()

    def _spread_back(self, x: Tensor) -> Tensor:
        """N^T x."""
        return spmm(self._train.t(), x / self._user_degree.sqrt()) / self._item_degree.sqrt()

    def _right_vectors(self, oversample: int = 32, depth: int = 8) -> Tensor:
        """[I, rank], by a block Krylov space from a fixed start (Musco and Musco 2015, arXiv:1504.05477, alg. 2)."""
        width = min(self.rank + oversample, self._train.num_cols)
        block = torch.randn(self._train.num_cols, width, generator=torch.Generator().manual_seed(0))
        blocks = []
        for _ in range(depth):
            block = torch.linalg.qr(self._spread_back(self._spread(block))).Q
            blocks.append(block)
        basis = torch.linalg.qr(torch.cat(blocks, dim=1)).Q
        _, _, vectors = torch.linalg.svd(self._spread(basis), full_matrices=False)
        result: Tensor = basis @ vectors[: self.rank].t()
        return result

    def __repr__(self) -> str:
        return f"GFCF(rank={self.rank}, ideal_weight={self.ideal_weight})"


def select_baseline(candidates: Iterable[AnyBaseline], split: Split, metric: str = "ndcg@20") -> AnyBaseline:
    """Fit each candidate on train and return the one that is best on valid; of equal ones the first.

    Raises: ValueError if there are no candidates or no validation part; KeyError if evaluate has no such metric.
    """
    ks = [int(metric.partition("@")[2])]
    best, best_value = None, -math.inf
    for candidate in candidates:
        value = evaluate(candidate.fit(split.train).scores, split, "valid", ks)[metric]
        if value > best_value:
            best, best_value = candidate, value
    if best is None:
        raise ValueError("no candidates to select from")
    return best
