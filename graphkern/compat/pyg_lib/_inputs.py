"""What samplers of one and of several relations share: weights and times as graphkern's ops take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from graphkern._kept import kept_with

K = TypeVar("K")
_TINY = 1e-300  # a weight that loses against every other
_MAX = 2**63 - 1


def check_options(
    node_time: object, edge_time: object, directed: bool, disjoint: bool, temporal_strategy: str, hetero: bool
) -> None:
    if temporal_strategy not in ("uniform", "last"):
        raise ValueError(f"temporal_strategy must be 'uniform' or 'last' but is {temporal_strategy!r}")
    if node_time is not None and edge_time is not None:
        raise ValueError("node_time and edge_time exclude each other")
    if (node_time is not None or edge_time is not None) and not disjoint:
        raise ValueError("sampling by time needs disjoint=True")
    if not directed and (disjoint or hetero):
        raise NotImplementedError(f"directed=False of {'several relations' if hetero else 'disjoint subgraphs'}")


def weights(weight: Tensor, replace: bool, hops: Sequence[int]) -> Tensor:
    """Weights that make graphkern take edges of weight 0 where a row gives all its edges, and only there."""
    if replace and min(hops, default=0) >= 0:
        return weight
    return kept_with((weight,), "pyg_lib.weights", lambda: _above_zero(weight.detach()))


def _above_zero(weight: Tensor) -> Tensor:
    if not weight.is_floating_point() or bool((weight != 0).all()):
        return weight
    weight = weight.double()
    return torch.where(weight == 0, _TINY, weight)


def ones(like: Tensor) -> Tensor:
    """Weights for a relation without any; like: [E]."""
    return kept_with((like,), "pyg_lib.ones", lambda: torch.ones(like.shape, device=like.device))


def zeros(like: Tensor, size: int) -> Tensor:
    """[size] times before all others, on the device of like, kept with it."""
    return kept_with((like,), ("pyg_lib.zeros", size), lambda: torch.zeros(size, dtype=torch.int64, device=like.device))


def shifted(
    times: Mapping[K, Tensor], limits: Mapping[str, Tensor], room: int = 1
) -> tuple[dict[K, Tensor], dict[str, Tensor]]:
    """Times and limits moved alike so that none is negative; limits before all times become the number before them.

    Args:
        times: by any key. limits: by node type. room: numbers to leave free below the earliest time, if not 1.
    """
    for name, tensor in [("time", t) for t in times.values()] + [("seed_time", t) for t in limits.values()]:
        if not isinstance(tensor, Tensor) or tensor.dtype != torch.int64:
            raise TypeError(f"{name} must be an int64 Tensor")
    bounds = [_bounds(time) for time in times.values() if time.numel()]
    low, high = min((b[0] for b in bounds), default=0), max((b[1] for b in bounds), default=0)
    earliest = min((int(limit.min()) for limit in limits.values() if limit.numel()), default=0)
    if room == 1 and low >= 0 and earliest >= 0:
        return dict(times), dict(limits)
    origin = low - room
    if origin < -_MAX or high - origin > _MAX:
        raise ValueError(f"times from {low} to {high} cannot be moved to begin at {room}: they would not fit int64")
    moved = {
        key: kept_with((time,), ("pyg_lib.shifted", origin), partial(torch.sub, time.detach(), origin))
        for key, time in times.items()
    }
    return moved, {kind: limit.clamp(low - 1, high) - origin for kind, limit in limits.items()}


def _bounds(time: Tensor) -> tuple[int, int]:
    low, high = kept_with((time,), "pyg_lib.bounds", lambda: tuple(int(bound) for bound in torch.aminmax(time)))
    return low, high
