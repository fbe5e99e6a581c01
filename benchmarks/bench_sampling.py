"""Neighbor sampling beside what a user would call otherwise: edges a second, on one thread and on two."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import graphkern
from graphkern import CSR

from .graphs import Absent, graph
from .timing import SMOKE, seconds_of

GRAPHS = ("rmat-1M-10M", "gowalla")
FANOUTS = [3, 2] if SMOKE else [15, 10, 5]
BATCH = 16 if SMOKE else 1024
BATCHES = 2 if SMOKE else 20
Sampler = Callable[[Tensor, int], int]  # seeds, random seed -> edges drawn


def _options(adj: CSR, kind: str) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    if kind == "weighted":
        return {"weight": torch.rand(adj.num_edges, generator=generator)}
    if kind in ("temporal", "last"):
        time = torch.randint(0, 100, (adj.num_edges,), generator=generator)
        options: dict[str, Any] = {"edge_time": time, "seed_time": torch.full((BATCH,), 70)}
        return options | ({"temporal": "last"} if kind == "last" else {})
    return {"uniform": {}, "replace": {"replace": True}, "disjoint": {"disjoint": True}, "labor": {"labor": True}}[kind]


def _ours(adj: CSR, options: dict[str, Any]) -> Sampler:
    def sample(seeds: Tensor, seed: int) -> int:
        sub = graphkern.sample_neighbors(adj, seeds, FANOUTS, seed=seed, **options)
        return sub.edge_id.numel()

    return sample


def _torch_sparse(adj: CSR, replace: bool) -> Sampler:
    """Its graph by columns is ours by rows: neighbors of a node are its sources."""
    try:
        import torch_sparse  # noqa: F401
    except ImportError as reason:
        raise Absent(str(reason)) from reason
    sample_of = torch.ops.torch_sparse.neighbor_sample
    indptr, indices = adj.indptr.long(), adj.indices.long()

    def sample(seeds: Tensor, seed: int) -> int:
        _nodes, _row, _column, edge = sample_of(indptr, indices, seeds.long(), FANOUTS, replace, True)
        return edge.numel()

    return sample


def _numpy(adj: CSR, replace: bool) -> Sampler:
    """A random key for every edge of the frontier, the least of each row; nodes renumbered by sorting."""
    if replace:
        raise Absent("draws without replacement")
    indptr, indices = adj.indptr.numpy().astype(np.int64), adj.indices.numpy()

    def sample(seeds: Tensor, seed: int) -> int:
        generator = np.random.default_rng(seed)
        nodes, frontier, total = seeds.numpy(), seeds.numpy(), 0
        for fanout in FANOUTS:
            degree = indptr[frontier + 1] - indptr[frontier]
            row = np.repeat(np.arange(frontier.size), degree)
            first = np.cumsum(degree) - degree
            edge = np.arange(row.size) - first[row] + indptr[frontier][row]
            order = np.lexsort((generator.random(row.size), row))
            kept = np.arange(row.size) - first[row] < fanout
            drawn = edge[order[kept]]
            total += drawn.size
            frontier = np.setdiff1d(indices[drawn], nodes)
            nodes = np.concatenate([nodes, frontier])
            np.searchsorted(np.sort(nodes), indices[drawn])
        return total

    return sample


PEERS = {"torch_sparse": _torch_sparse, "NumPy": _numpy}


def _rate(sampler: Sampler, seeds: list[Tensor]) -> Callable[[], tuple[float, int]]:
    """A call that samples every batch once: seconds and edges."""

    def call() -> tuple[float, int]:
        edges = 0

        def run() -> None:
            nonlocal edges
            edges = sum(sampler(batch, number) for number, batch in enumerate(seeds))

        return seconds_of(run), edges

    return call


def _on_threads(count: int, call: Callable[[], tuple[float, int]]) -> tuple[float, int]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return call()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("kind", ["uniform", "replace", "disjoint", "weighted", "temporal", "last", "labor"])
@pytest.mark.parametrize("name", GRAPHS)
def test_sampling(benchmark, record, name: str, kind: str):
    """Rounds by turns: ours on one thread, ours on two, each peer. A slow peer runs one batch."""
    try:
        adj = graph(name, SMOKE)
    except Absent as reason:
        pytest.skip(str(reason))
    generator = torch.Generator().manual_seed(0)
    seeds = [torch.randint(0, adj.num_rows, (BATCH,), generator=generator).int() for _ in range(BATCHES)]
    options = _options(adj, kind)
    ours = _rate(_ours(adj, options), seeds)
    rates: dict[str, list[float]] = {}
    absent = {}
    peers: dict[str, Callable[[], tuple[float, int]]] = {}
    if kind in ("uniform", "replace"):
        for peer, make in PEERS.items():
            try:
                peers[peer] = _rate(make(adj, kind == "replace"), seeds[:2] if peer == "NumPy" else seeds[:5])
                peers[peer]()
            except Absent as reason:
                absent[peer] = str(reason)

    def turn() -> None:
        for label, call in [("1", lambda: _on_threads(1, ours)), ("2", lambda: _on_threads(2, ours)), *peers.items()]:
            seconds, edges = call()
            rates.setdefault(label, []).append(edges / seconds)

    ours()
    for _ in range(0 if SMOKE else 4):
        turn()
    benchmark.pedantic(turn, rounds=1)
    record(_row(name, kind, {label: statistics.median(values) for label, values in rates.items()}, absent))


def _row(name: str, kind: str, rate: dict[str, float], absent: dict[str, str]) -> dict[str, Any]:
    one, two = rate.pop("1"), rate.pop("2")
    targets = {}
    if kind == "uniform":
        targets = {"sampling, M edges/s on one thread": one / 1e6, "sampling, two threads over one": two / one}
    if "torch_sparse" in rate:
        targets["sampling, one thread over torch_sparse"] = one / rate["torch_sparse"]
    best = max(rate, key=rate.__getitem__, default=None)
    return {
        "table": "sampling",
        "op": "sample_neighbors",
        "case": f"{name}-{kind}",
        "one": one / 1e6,
        "two": two / 1e6,
        "peer": best,
        "peer_rate": rate[best] / 1e6 if best else None,
        "ratio": one / rate[best] if best else None,
        "targets": targets,
        "absent": absent,
    }
