"""All-item ranking of a split's users and the metrics of it."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.graph.pairs import sorted_csr, take_rows
from graphkern.graph.split import Split
from graphkern.ops import topk_scores
from graphkern.rank.metrics import coverage, intra_list_diversity, novelty, rank_metrics

# Either embeddings (query [U, D], item [I, D]), scored by their dot product, or a function from users int64 [B] to
# scores [B, I].
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
    Cost: embeddings never make a B x C matrix (see topk_scores); a function makes its B x I scores.
    """
    excluded = None if exclude is None else _restrict(take_rows(exclude, users), candidates)
    depth = min(k, len(candidates))
    if isinstance(scorer, tuple):
        query, item = scorer
        values, positions = topk_scores(query[users], item[candidates], depth, exclude=excluded)
    else:
        scores = scorer(users)[:, candidates]
        if excluded is not None:
            scores[excluded.row_index(), excluded.indices] = -torch.inf
        values, positions = torch.sort(scores, dim=1, descending=True, stable=True)
        values, positions = values[:, :depth], positions[:, :depth]
    items = candidates[positions.clamp(min=0)].masked_fill(values == -torch.inf, -1)
    missing = (0, k - depth)
    return torch.nn.functional.pad(values, missing, value=-torch.inf), torch.nn.functional.pad(items, missing, value=-1)


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
        features: [I, F] item features for diversity.
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
    lists = [rank_items(scorer, block, depth, candidates, exclude)[1] for block in users.split(users_a_block)]
    topk = torch.cat(lists)

    result = rank_metrics(topk, take_rows(target, users), ks)
    for k in ks:
        result[f"coverage@{k}"] = coverage(topk[:, :k], len(candidates))
        if part != "cold":
            result[f"novelty@{k}"] = novelty(topk[:, :k], split.train)
        if features is not None:
            result[f"diversity@{k}"] = intra_list_diversity(topk[:, :k], features)
    return result


def _restrict(adj: CSR, columns: Tensor) -> CSR:
    """adj with the given columns only, renumbered in their order."""
    position = torch.full((adj.num_cols,), -1)
    position[columns] = torch.arange(len(columns))
    col = position[adj.indices]
    return sorted_csr(adj.row_index()[col >= 0], col[col >= 0], adj.num_rows, len(columns))
