"""What a user would call for ranking and its losses without graphkern. As in peers.py, a peer is a maker of a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from graphkern import CSR

from .graphs import Absent
from .timing import SMOKE, Call

TEMPERATURE = 0.1
QUERY_BLOCK = 256  # of the losses; of 64 to 2,048 the fastest
USER_BLOCK = 128  # of top-k; of 64 to 2,048 the fastest
IMPLICIT_BLOCK = 1024
Makers = dict[str, Callable[[], Call]]


def compiled(function: Callable, dynamic: bool = False) -> Callable:
    torch._dynamo.reset()
    return torch.compile(function, backend="aot_eager" if SMOKE else "inductor", dynamic=dynamic)


# Contrastive losses


@dataclass(frozen=True)
class Contrast:
    """query [B, D], key [K, D] and perhaps bias [K]; target [B], or B x K positives; neither is the diagonal."""

    query: Tensor
    key: Tensor
    target: Tensor | CSR | None = None
    bias: Tensor | None = None
    symmetric: bool = False

    def leaves(self) -> list[Tensor]:
        return [t for t in (self.query, self.key, self.bias) if t is not None]


def _logits(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    logits = query @ key.T / TEMPERATURE
    return logits if bias is None else logits + bias


def _one_positive(query: Tensor, key: Tensor, bias: Tensor | None, target: Tensor) -> Tensor:
    return functional.cross_entropy(_logits(query, key, bias), target, reduction="none")


def _several(query: Tensor, key: Tensor, bias: Tensor | None, row: Tensor, column: Tensor, count: Tensor) -> Tensor:
    logits = _logits(query, key, bias)
    return logits.logsumexp(1) - logits.new_zeros(len(query)).index_add_(0, row, logits[row, column]) / count


def _symmetric(query: Tensor, key: Tensor, bias: Tensor | None, target: Tensor) -> Tensor:
    logits = _logits(query, key, bias)
    both = [functional.cross_entropy(side, target, reduction="none") for side in (logits, logits.T)]
    return (both[0] + both[1]) / 2


def contrast_peers(case: Contrast, slow: bool) -> Makers:
    """slow: compile as well, which takes its time."""
    arguments: list[Any] = [case.query, case.key, case.bias]
    if isinstance(case.target, CSR):
        function, positives = _several, case.target
        arguments += [positives.row_index().long(), positives.indices.long(), positives.degree()]
    else:
        function = _symmetric if case.symmetric else _one_positive
        diagonal = torch.arange(len(case.query), device=case.query.device)
        arguments.append(diagonal if case.target is None else case.target)

    def in_blocks() -> Call:
        if function is not _one_positive:
            raise Absent("is not written for this loss")
        query, key, bias, target = arguments
        blocks = list(zip(query.split(QUERY_BLOCK), target.split(QUERY_BLOCK), strict=True))

        def call() -> Tensor:
            parts = [checkpoint(function, q, key, bias, t, use_reentrant=False) for q, t in blocks]
            return torch.cat(parts)

        return call

    def by_compiler() -> Call:
        if not slow:
            raise Absent("takes long to compile: on some rows only")
        run = compiled(function)
        return lambda: run(*arguments)

    return {"eager": lambda: lambda: function(*arguments), "eager in blocks": in_blocks, "compiled": by_compiler}


# Top-k: all give values and items [B, k]


def _best(query: Tensor, item: Tensor, k: int, row: Tensor | None, column: Tensor | None) -> tuple[Tensor, Tensor]:
    scores = query @ item.T
    if row is not None:
        scores[row, column] = -torch.inf
    return scores.topk(k, dim=1)


def _user_blocks(query: Tensor, item: Tensor, k: int, exclude: CSR | None, best: Callable) -> Call:
    """matmul, mask, topk of USER_BLOCK users at a time, with the positions to mask at hand."""
    blocks = []
    for begin in range(0, len(query), USER_BLOCK):
        end, where = min(begin + USER_BLOCK, len(query)), (None, None)
        if exclude is not None:
            indptr = exclude.indptr[begin : end + 1].long()
            row = torch.repeat_interleave(torch.arange(end - begin), indptr.diff())
            where = row, exclude.indices[indptr[0] : indptr[-1]].long()
        blocks.append((query[begin:end], *where))

    def call() -> tuple[Tensor, Tensor]:
        values, items = torch.empty(len(query), k), torch.empty(len(query), k, dtype=torch.int64)
        for number, (part, row, column) in enumerate(blocks):
            place = slice(number * USER_BLOCK, number * USER_BLOCK + len(part))
            values[place], items[place] = best(part, item, k, row, column)
        return values, items

    return call


def _faiss(query: Tensor, item: Tensor, k: int) -> Call:
    try:
        import faiss
    except ImportError as reason:
        raise Absent(str(reason)) from reason
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(item.shape[1])
    index.add(item.numpy())
    return lambda: tuple(map(torch.from_numpy, index.search(query.numpy(), k)))


def _implicit(query: Tensor, item: Tensor, k: int, exclude: CSR) -> Call:
    """Some users at a time, since it makes the matrix of scores; with one thread of BLAS, as it asks for itself."""
    try:
        from implicit.cpu.topk import topk
        from scipy.sparse import csr_matrix
        from threadpoolctl import threadpool_limits
    except ImportError as reason:
        raise Absent(str(reason)) from reason
    factors, users, threads = item.numpy(), query.numpy(), torch.get_num_threads()
    seen = csr_matrix(exclude.to_scipy().astype(np.float32))
    parts = [slice(begin, begin + IMPLICIT_BLOCK) for begin in range(0, len(users), IMPLICIT_BLOCK)]
    blocks = [(users[part], seen[part]) for part in parts]

    def call() -> tuple[Tensor, Tensor]:
        with threadpool_limits(1, "blas"):
            found = [topk(factors, q, k, filter_query_items=s, num_threads=threads) for q, s in blocks]
        items, values = (torch.from_numpy(np.concatenate(part)) for part in zip(*found, strict=True))
        return values, items

    return call


def topk_peers(query: Tensor, item: Tensor, k: int, exclude: CSR | None, slow: bool) -> Makers:
    """slow: compile as well. faiss where nothing is excluded, since its flat index cannot; implicit elsewhere."""

    def by_compiler() -> Call:
        if not slow:
            raise Absent("takes long to compile: on the first row only")
        return _user_blocks(query, item, k, exclude, compiled(_best, dynamic=True))

    def flat_index() -> Call:
        if exclude is not None:
            raise Absent("cannot exclude: see the row without exclusion")
        return _faiss(query, item, k)

    def blocks_of_scores() -> Call:
        if exclude is None:
            raise Absent("is on the rows with exclusion")
        return _implicit(query, item, k, exclude)

    return {
        "eager": lambda: _user_blocks(query, item, k, exclude, _best),
        "compiled": by_compiler,
        "faiss IndexFlatIP": flat_index,
        "implicit": blocks_of_scores,
    }


# Metrics: all give the means [len(ks) * 7], in the order of graphkern.rank_metrics


def _isin(topk: Tensor, test: CSR, ks: Sequence[int]) -> Tensor:
    """Lists without repeated items, test without repeated pairs."""
    row = torch.arange(test.num_rows).unsqueeze(1)
    pairs = test.row_index().long() * test.num_cols + test.indices
    is_hit, degree = torch.isin(row * test.num_cols + topk, pairs) & (topk >= 0), test.degree()
    hit, num_test = is_hit[degree > 0].double(), degree[degree > 0]
    rank = torch.arange(1, topk.shape[1] + 1, dtype=torch.float64)
    gain, means = 1 / torch.log2(rank + 1), []
    for k in ks:
        first = hit[:, :k]
        found = first.sum(1)
        means += [
            (found / num_test).mean(),
            ((first * gain[:k]).sum(1) / gain.cumsum(0)[num_test.clamp(max=k) - 1]).mean(),
            (found > 0).double().mean(),
            (first / rank[:k]).amax(1).mean(),
            ((first * first.cumsum(1) / rank[:k]).sum(1) / num_test).mean(),
            (2 * found / (num_test + k)).mean(),
            (found / k).mean(),
        ]
    return torch.stack(means)


def _ranx(topk: Tensor, test: CSR, ks: Sequence[int]) -> Call:
    """evaluate() on a Run and Qrels that are there."""
    try:
        import ranx
    except ImportError as reason:
        raise Absent(str(reason)) from reason
    bounds, items = test.indptr.tolist(), [f"i{item}" for item in test.indices.tolist()]
    users = [user for user in range(test.num_rows) if bounds[user] < bounds[user + 1]]
    lists, depth = topk.tolist(), topk.shape[1]
    run = {f"u{u}": {f"i{item}": float(depth - place) for place, item in enumerate(lists[u])} for u in users}
    qrels = ranx.Qrels({f"u{u}": dict.fromkeys(items[bounds[u] : bounds[u + 1]], 1) for u in users})
    given = qrels, ranx.Run(run)
    names = [f"{name}@{k}" for k in ks for name in ("recall", "ndcg", "hit_rate", "mrr", "map", "f1", "precision")]

    def call() -> Tensor:
        means = ranx.evaluate(*given, names, save_results_in_run=False)
        return torch.tensor([means[name] for name in names], dtype=torch.float64)

    call()  # the first compiles
    return call


def metric_peers(topk: Tensor, test: CSR, ks: Sequence[int]) -> Makers:
    return {"eager": lambda: lambda: _isin(topk, test, ks), "ranx": lambda: _ranx(topk, test, ks)}
