"""All-item ranking of a split's users and the metrics of it."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphkern.csr import CSR
from graphkern.graph.pairs import sorted_csr, take_rows
from graphkern.graph.split import Split
from graphkern.ops import rank_metrics, topk_scores
from graphkern.rank.metrics import coverage, intra_list_diversity, novelty

# Embeddings (query [U, D], item [I, D]) scored by their dot product, or a function from users int64 [B] to scores
# [B, I], where -inf is an item never to list.
Scorer = tuple[Tensor, Tensor] | Callable[[Tensor], Tensor]


def rank_items(
    scorer: Scorer, users: Tensor, k: int, candidates: Tensor, exclude: CSR | None = None
) -> tuple[Tensor, Tensor]:
    """The k best candidates of each user; of equal scores the lower item comes first.

    Args:
        users: int64 [B].
        candidates: int64 [C], ascending.
        exclude: U x I pairs that must not be listed.
    Returns: scores [B, k] and items int64 [B, k], best first; -inf and -1 where a user has fewer than k candidates.
    Raises: ValueError if k is below 1 or there are no candidates.
    Cost: embeddings never make a B x C matrix (see topk_scores); a function makes its B x I scores.
    """
    if k < 1 or len(candidates) == 0:
        raise ValueError(f"cannot list {k} of {len(candidates)} candidates")
    excluded = None if exclude is None else _restrict(take_rows(exclude, users), candidates)
    depth = min(k, len(candidates))
    if isinstance(scorer, tuple):
        query, item = scorer
        if excluded is not None:
            excluded = excluded.to(item.device)
        values, positions = topk_scores(query[users], item[candidates], depth, exclude=excluded)
        values, positions = values.cpu(), positions.cpu()
    else:
        scores = scorer(users).cpu()[:, candidates]
        if excluded is not None:
            scores[excluded.row_index(), excluded.indices] = -torch.inf
        values, positions = _dense_topk(scores, depth)
    items = candidates[positions.clamp(min=0)].masked_fill(values == -torch.inf, -1)
    missing = (0, k - depth)
    return pad(values, missing, value=-torch.inf), pad(items, missing, value=-1)


def evaluate(
    scorer: Scorer,
    split: Split,
    part: Literal["valid", "test", "cold"] = "test",
    ks: Sequence[int] = (10, 20),
    features: Tensor | None = None,
    users_a_block: int = 1024,
) -> dict[str, float]:
    """Rank for each user that has items in the part, and measure the lists.

    "valid" and "test" rank all warm items but those that the user has in train (for "test", in train or valid); "cold"
    ranks the cold items among themselves.

    Args:
        features: [I, F] item features for diversity: attribute_matrix as dense, or the transposed train matrix.
    Returns: what rank_metrics returns, "coverage@k", "novelty@k" for warm items, "diversity@k" if there are features.
    Raises: ValueError if the part is empty.
    """
    target = {"valid": split.valid, "test": split.test, "cold": split.cold_test}[part]
    if target.num_edges == 0:
        raise ValueError(f"the {part} part of the split is empty")
    candidates = split.cold_items if part == "cold" else split.warm_items()
    exclude = {"valid": split.train, "test": split.seen(), "cold": None}[part]
    users = torch.nonzero(target.degree()).flatten()
    depth = max(ks)
    lists = [rank_items(scorer, block, depth, candidates, exclude)[1] for block in torch.split(users, users_a_block)]
    topk = torch.cat(lists)

    result = rank_metrics(topk, take_rows(target, users), ks)
    for k in ks:
        result[f"coverage@{k}"] = coverage(topk[:, :k], len(candidates))
        if part != "cold":
            result[f"novelty@{k}"] = novelty(topk[:, :k], split.train)
        if features is not None:
            result[f"diversity@{k}"] = intra_list_diversity(topk[:, :k], features)
    return result


def _dense_topk(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """What topk_scores gives: torch.topk leaves open which of equal scores it takes. NaN counts as -inf."""
    scores = scores.masked_fill(scores.isnan(), -torch.inf)
    least = torch.topk(scores, k, dim=1).values[:, -1:]
    is_above, is_least = scores > least, scores == least
    is_kept = is_above | (is_least & (is_least.cumsum(1) <= k - is_above.sum(1, keepdim=True)))
    columns = torch.nonzero(is_kept)[:, 1].view(-1, k)
    values, order = torch.sort(scores.gather(1, columns), dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def _restrict(adj: CSR, columns: Tensor) -> CSR:
    """adj with the given columns only, renumbered in their order."""
    position = torch.full((adj.num_cols,), -1)
    position[columns] = torch.arange(len(columns))
    col = position[adj.indices]
    return sorted_csr(adj.row_index()[col >= 0], col[col >= 0], adj.num_rows, len(columns))
