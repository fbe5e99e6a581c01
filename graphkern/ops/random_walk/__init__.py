"""Random walks of first and second order, the same bits for a seed on every backend and thread count."""

from __future__ import annotations

import math

from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check, _sample
from graphkern.ops._column_sets import column_sets
from graphkern.ops.random_walk.reference import random_walk as reference

_KEY = 0x77616C6B  # sets the draws of walks apart from those of other ops with the same seed
_UNIT = 2**62


def random_walk(adj: CSR, start: Tensor, length: int, p: float = 1.0, q: float = 1.0, seed: int = 0) -> Tensor:
    """Walk from each start node from row to column, along edges drawn at random.

    The first step is uniform over the edges of the row. From then on an edge from node v, reached from node t, to node
    x is taken in proportion to 1/p if x is t, else 1 if x is a column of row t, else 1/q. Parallel edges count.

    Args:
        adj: N x N. Rows of 2^32 edges or more are not supported. Memory-mapped tensors will do.
        start: [B] int32 or int64, each in [0, N).
        length: steps of each walk.
        p: positive; the larger, the less walks return to where they come from.
        q: positive; the larger, the closer walks stay to where they come from. With p = q = 1 walks are uniform.
        seed: any int64; the walks are a function of the arguments alone, whatever the number of threads.
    Returns: [B, length + 1] index dtype of adj, the start nodes first. A node without edges stays where it is.
    Raises: TypeError for a dtype; ValueError for a start out of range, a graph that is not square, a negative length,
        p or q that are not positive and finite.
    Cost: O(B length) for p = q = 1. Else a step proposes an edge until one is accepted, on average
        max(1/p, 1, 1/q) / (mean weight) times but never more often than the row has edges; with q != 1 a proposal may
        search row t, O(log of its edges) by the sets of `column_sets`, which the first call on a graph builds unless
        its rows are sorted (see there), O(its edges) without them. Weights are multiples of 2^-62 of the largest one.
        No gradient.
    Source: Grover and Leskovec 2016 (arXiv:1607.00653); proposals: Yang et al. 2019 (doi:10.1145/3341301.3359634);
        Philox and unbiased bounds: see sample_neighbors.
    """
    _sample.square(adj)
    _check.index(start, "start", adj.num_rows)
    _check.same_device(adj, start, "start")
    _sample.random_seed(seed)
    if length < 0:
        raise ValueError(f"length must not be negative but is {length}")
    weight = _weights(p, q)
    _back, near, far = weight
    sets = column_sets(adj) if near != far else None
    set_indptr, set_indices = (None, None) if sets is None else sets
    start = start.to(adj.dtype)
    return RANDOM_WALK(adj.indptr, adj.indices, set_indptr, set_indices, start, length, weight, seed ^ _KEY)


def _weights(p: float, q: float) -> list[int]:
    """1/p, 1 and 1/q as integers, the largest of them 2^62."""
    for name, value in (("p", p), ("q", q)):
        if not (value > 0 and math.isfinite(value) and math.isfinite(1 / value)):
            raise ValueError(f"{name} must be positive and finite but is {value}")
    weights = (1 / p, 1.0, 1 / q)
    return [max(1, round(weight / max(weights) * _UNIT)) for weight in weights]


def _fake(indptr, indices, set_indptr, set_indices, start: Tensor, length: int, weight: list[int], seed: int) -> Tensor:
    return indices.new_empty(start.shape[0], length + 1)


RANDOM_WALK = Op(
    "random_walk",
    "(Tensor indptr, Tensor indices, Tensor? set_indptr, Tensor? set_indices, Tensor start, int length, int[] weight,"
    " int seed) -> Tensor",
    reference=reference,
    fake=_fake,
)
