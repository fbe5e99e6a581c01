"""Batches over graphs with several types of nodes and edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.loader.base import Loader, check_rows
from graphkern.loader.batch import EdgeType, HeteroBatch
from graphkern.loader.features import CachedFeatures
from graphkern.loader.gather import take_rows
from graphkern.loader.neighbor import node_numbers
from graphkern.loader.pairs import Pairs
from graphkern.ops import sample_neighbors_hetero

Fanouts = Sequence[int] | Mapping[EdgeType, Sequence[int]]


class HeteroNeighborLoader(Loader[HeteroBatch]):
    """Batches of seed nodes of one type, each with a sampled neighborhood over all types and its features.

    Args:
        adjs: by (source type, relation, destination type) a graph whose rows are nodes of the destination type and
            columns those of the source type.
        fanouts: one number a hop for every relation, or for each of adjs its own; -1 for all.
        seeds: (type, [S] int32 or int64 nodes or a bool mask), or the type alone for all of its nodes.
        x: by node type, [N of the type, ...]. y: [N of the seeds' type, ...]. edge_attr: by key of adjs, [E, ...] in
            the caller's edge order. Types may be left out of x and edge_attr.
        batch_size, shuffle, drop_last, num_threads, prefetch, seed: as for NeighborLoader.
        replace, weight, edge_time, node_time, temporal, disjoint, labor: as for sample_neighbors_hetero.
        seed_time: [S] time of each seed.
    Iterating gives HeteroBatch objects.
    Raises: TypeError or ValueError for a wrong shape, dtype, range, type or option, all here and not in the loop.
    Cost: prefetch + 1 batches of memory, and S numbers if shuffled.
    """

    def __init__(
        self,
        adjs: Mapping[EdgeType, CSR],
        fanouts: Fanouts,
        seeds: str | tuple[str, Tensor | None],
        *,
        batch_size: int = 1024,
        shuffle: bool = False,
        drop_last: bool = False,
        x: Mapping[str, Tensor | CachedFeatures] | None = None,
        y: Tensor | None = None,
        edge_attr: Mapping[EdgeType, Tensor] | None = None,
        num_threads: int = 1,
        prefetch: int = 2,
        seed: int = 0,
        replace: bool = False,
        weight: Mapping[EdgeType, Tensor] | None = None,
        edge_time: Mapping[EdgeType, Tensor] | None = None,
        node_time: Mapping[str, Tensor] | None = None,
        seed_time: Tensor | None = None,
        temporal: str = "uniform",
        disjoint: bool = False,
        labor: bool = False,
    ) -> None:
        self.data = _TypedData(adjs, x, edge_attr)
        self.fanouts = fanouts
        if not isinstance(seeds, str | tuple):
            raise TypeError(f"seeds must be a node type or (type, Tensor) but is {type(seeds).__name__}")
        self.input_type, nodes = (seeds, None) if isinstance(seeds, str) else seeds
        size = self.data.size(self.input_type)
        self.seeds = None if nodes is None else node_numbers(nodes, size, self.data.any_graph)
        num_seeds = size if self.seeds is None else self.seeds.shape[0]
        super().__init__(
            num_seeds, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, num_threads=num_threads,
            prefetch=prefetch, seed=seed,
        )  # fmt: skip
        check_rows(y, "y", size, f"nodes of type {self.input_type!r}")
        check_rows(seed_time, "seed_time", num_seeds, "seeds")
        self.y, self.seed_time = y, seed_time
        self._options: dict[str, Any] = {
            "replace": replace, "weight": weight, "edge_time": edge_time, "node_time": node_time,
            "temporal": temporal, "disjoint": disjoint, "labor": labor,
        }  # fmt: skip
        self._make(torch.arange(0), 0)  # refuses what sample_neighbors_hetero refuses

    def _make(self, items: Tensor, seed: int) -> HeteroBatch:
        seeds = items.to(self.data.any_graph.device if self.seeds is None else self.seeds.device)
        if self.seeds is not None:
            seeds = self.seeds[seeds]
        time = take_rows(self.seed_time, items)
        return self.data.sample(
            {self.input_type: seeds}, {self.input_type: time}, self.fanouts, items, seed, self._options,
            input_type=self.input_type, y=take_rows(self.y, seeds),
        )  # fmt: skip


class HeteroLinkNeighborLoader(Loader[HeteroBatch]):
    """Batches of positive pairs of one edge type and negatives drawn for them, with a neighborhood of their ends.

    Args:
        adjs, fanouts, x, edge_attr: as for HeteroNeighborLoader.
        edges: ((source type, relation, destination type), [2, P] int32 or int64 pairs), or the edge type alone for all
            of its edges, in CSR order.
        neg_ratio, corrupt, exclude: as for LinkNeighborLoader, within the edge type.
        batch_size, shuffle, drop_last, num_threads, prefetch, seed: as for NeighborLoader.
        replace, weight, edge_time, node_time, temporal, disjoint, labor: as for sample_neighbors_hetero.
        seed_time: [P] time of each pair.
    Iterating gives HeteroBatch objects; `pairs` are places among the nodes of the source and of the destination type.
    Raises, Cost: as LinkNeighborLoader.
    """

    def __init__(
        self,
        adjs: Mapping[EdgeType, CSR],
        fanouts: Fanouts,
        edges: EdgeType | tuple[EdgeType, Tensor | None],
        *,
        neg_ratio: int = 1,
        corrupt: str = "source",
        exclude: CSR | None = None,
        batch_size: int = 1024,
        shuffle: bool = False,
        drop_last: bool = False,
        x: Mapping[str, Tensor | CachedFeatures] | None = None,
        edge_attr: Mapping[EdgeType, Tensor] | None = None,
        num_threads: int = 1,
        prefetch: int = 2,
        seed: int = 0,
        replace: bool = False,
        weight: Mapping[EdgeType, Tensor] | None = None,
        edge_time: Mapping[EdgeType, Tensor] | None = None,
        node_time: Mapping[str, Tensor] | None = None,
        seed_time: Tensor | None = None,
        temporal: str = "uniform",
        disjoint: bool = False,
        labor: bool = False,
    ) -> None:
        self.data = _TypedData(adjs, x, edge_attr)
        self.fanouts = fanouts
        if not isinstance(edges, tuple):
            raise TypeError(f"edges must be an edge type or (edge type, Tensor) but is {type(edges).__name__}")
        self.input_type, given = edges if len(edges) == 2 else (edges, None)
        if self.input_type not in self.data.adjs:
            raise ValueError(f"edges are of type {self.input_type!r}, which adjs lack")
        self.positives = Pairs(self.data.adjs[self.input_type], given, neg_ratio, corrupt, exclude, seed_time)
        super().__init__(
            len(self.positives), batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, num_threads=num_threads,
            prefetch=prefetch, seed=seed,
        )  # fmt: skip
        self._options: dict[str, Any] = {
            "replace": replace, "weight": weight, "edge_time": edge_time, "node_time": node_time,
            "temporal": temporal, "disjoint": disjoint, "labor": labor,
        }  # fmt: skip
        if (edge_time is not None or node_time is not None) and seed_time is None:
            raise ValueError("edge_time and node_time need seed_time, the time of each pair")
        self._one_each = disjoint or seed_time is not None
        self._make(torch.arange(0), 0)  # refuses what sample_neighbors_hetero and sample_negatives refuse

    def _make(self, items: Tensor, seed: int) -> HeteroBatch:
        drawn = self.positives.draw(items, seed)
        source, _, destination = self.input_type
        types = list(dict.fromkeys([source, destination]))
        seeds, times, pairs = drawn.seeds(len(types) == 1, self._one_each)
        return self.data.sample(
            dict(zip(types, seeds, strict=True)), dict(zip(types, times, strict=True)), self.fanouts, items, seed,
            self._options, input_type=self.input_type, pairs=pairs, labels=drawn.labels,
        )  # fmt: skip


class _TypedData:
    """Graphs by edge type with the features of their nodes and edges."""

    def __init__(
        self,
        adjs: Mapping[EdgeType, CSR],
        x: Mapping[str, Tensor | CachedFeatures] | None,
        edge_attr: Mapping[EdgeType, Tensor] | None,
    ) -> None:
        if not adjs:
            raise ValueError("adjs must have a relation")
        for key, adj in adjs.items():
            if not isinstance(adj, CSR):
                raise TypeError(f"adjs[{key!r}] must be a graphkern.CSR but is {type(adj).__name__}")
        self.adjs = dict(adjs)
        self.any_graph = next(iter(self.adjs.values()))
        self.x, self.edge_attr = dict(x or {}), dict(edge_attr or {})
        for kind, rows in self.x.items():
            check_rows(rows, f"x[{kind!r}]", self.size(kind), "nodes")
        for key, rows in self.edge_attr.items():
            if key not in self.adjs:
                raise ValueError(f"edge_attr has {key!r}, which adjs lack")
            check_rows(rows, f"edge_attr[{key!r}]", self.adjs[key].num_edges, "edges")

    def size(self, kind: str) -> int:
        """The number of nodes of a type."""
        for (source, _, destination), adj in self.adjs.items():
            if kind in (source, destination):
                return adj.num_rows if kind == destination else adj.num_cols
        raise ValueError(f"no graph of adjs has nodes of type {kind!r}")

    def sample(
        self,
        seeds: dict[str, Tensor],
        times: dict[str, Tensor | None],
        fanouts: Fanouts,
        items: Tensor,
        seed: int,
        options: dict[str, Any],
        **more: Any,
    ) -> HeteroBatch:
        """The batch of `items` around seeds; more: fields that it has beside its sample and features."""
        given = {kind: time for kind, time in times.items() if time is not None}
        sample = sample_neighbors_hetero(self.adjs, seeds, fanouts, seed_time=given or None, seed=seed, **options)
        return HeteroBatch(
            **vars(sample),
            batch_size=items.shape[0],
            input_id=items,
            x={kind: take_rows(x, sample.nodes[kind]) for kind, x in self.x.items()},
            edge_attr={key: take_rows(rows, sample.edge_id[key]) for key, rows in self.edge_attr.items()},
            **more,
        )
