"""Batches of seed nodes with their sampled neighborhoods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphkern.csr import CSR, check_range
from graphkern.loader.base import Loader, check_rows
from graphkern.loader.batch import Batch
from graphkern.loader.features import CachedFeatures
from graphkern.loader.gather import take_rows
from graphkern.ops import _check, sample_neighbors


class NeighborLoader(Loader[Batch]):
    """Batches of seed nodes, each with a sampled neighborhood and its features.

    ``for batch in loader: out = model(batch.x, batch.layers)``; the first batch.batch_size nodes are the seeds.

    Args:
        adj: N x N, E edges; its tensors may be memory-mapped files.
        fanouts: neighbors to draw a node at each hop, -1 for all.
        seeds: [S] int32 or int64 nodes, or a bool mask [N]; None is all nodes. Those on a CUDA device are sampled
            by it, with adj there or in page-locked memory.
        batch_size: B. shuffle: draw the order of the seeds anew each epoch. drop_last: leave out a last batch of fewer.
        x: [N, ...], y: [N, ...], any dtype: each batch gets x of its nodes and y of its seeds. CachedFeatures too.
        edge_attr: a row for each edge in the caller's edge order: each batch gets those of its edges.
        num_threads: threads of this process that make batches in the background, each on one core; 0 makes a batch
            when it is asked for, on all cores.
        prefetch: batches that are finished or under way beside the one in use; at least one a thread.
        seed: the order and every batch are functions of it, the epoch and the number of the batch.
        replace, weight, edge_time, node_time, temporal, disjoint, labor: as for sample_neighbors.
        seed_time: [S], as for sample_neighbors.
    Iterating gives Batch objects.
    Raises: TypeError or ValueError for a wrong shape, dtype, range or option, all here and not in the loop.
    Cost: prefetch + 1 batches of memory, and S numbers if shuffled. x, y and edge_attr are read without gradient; rows
        that learn are looked up by batch.nodes.
    Source: Hamilton et al. 2017 (arXiv:1706.02216).
    """

    def __init__(
        self,
        adj: CSR,
        fanouts: Sequence[int],
        seeds: Tensor | None = None,
        *,
        batch_size: int = 1024,
        shuffle: bool = False,
        drop_last: bool = False,
        x: Tensor | CachedFeatures | None = None,
        y: Tensor | None = None,
        edge_attr: Tensor | None = None,
        num_threads: int = 1,
        prefetch: int = 2,
        seed: int = 0,
        replace: bool = False,
        weight: Tensor | None = None,
        edge_time: Tensor | None = None,
        node_time: Tensor | None = None,
        seed_time: Tensor | None = None,
        temporal: str = "uniform",
        disjoint: bool = False,
        labor: bool = False,
    ) -> None:
        _check.is_csr(adj)
        self.adj = adj
        self.fanouts = list(fanouts)
        self.seeds = None if seeds is None else node_numbers(seeds, adj.num_rows, adj)
        num_seeds = adj.num_rows if self.seeds is None else self.seeds.shape[0]
        super().__init__(
            num_seeds, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, num_threads=num_threads,
            prefetch=prefetch, seed=seed,
        )  # fmt: skip
        check_rows(x, "x", adj.num_rows, "nodes")
        check_rows(y, "y", adj.num_rows, "nodes")
        check_rows(edge_attr, "edge_attr", adj.num_edges, "edges")
        check_rows(seed_time, "seed_time", num_seeds, "seeds")
        self.x, self.y, self.edge_attr, self.seed_time = x, y, edge_attr, seed_time
        self._options: dict[str, Any] = {
            "replace": replace, "weight": weight, "edge_time": edge_time, "node_time": node_time,
            "temporal": temporal, "disjoint": disjoint, "labor": labor,
        }  # fmt: skip
        self._make(torch.arange(0), 0)  # refuses what sample_neighbors refuses

    def _make(self, items: Tensor, seed: int) -> Batch:
        seeds = items.to(self.adj.device if self.seeds is None else self.seeds.device)
        if self.seeds is not None:
            seeds = self.seeds[seeds]
        seed_time = take_rows(self.seed_time, items)
        sample = sample_neighbors(self.adj, seeds, self.fanouts, seed_time=seed_time, seed=seed, **self._options)
        return Batch(
            **vars(sample),
            batch_size=items.shape[0],
            input_id=items,
            x=take_rows(self.x, sample.nodes),
            y=take_rows(self.y, seeds),
            edge_attr=take_rows(self.edge_attr, sample.edge_id),
        )


def node_numbers(seeds: Tensor, num_nodes: int, adj: CSR, name: str = "seeds") -> Tensor:
    """Seeds, numbers or a bool mask [num_nodes], as [S] numbers in the dtype of adj, where it can be read."""
    if isinstance(seeds, Tensor) and seeds.dtype == torch.bool:
        if seeds.shape != (num_nodes,):
            raise ValueError(f"{name} as a mask must be [{num_nodes}] but is {list(seeds.shape)}")
        seeds = seeds.nonzero().flatten()
    _check.index_dtype(seeds, name)
    if seeds.dim() != 1:
        raise ValueError(f"{name} must be 1-D but is {list(seeds.shape)}")
    check_range(seeds, num_nodes, name)
    return seeds.to(device=seeds.device if _check.in_reach(adj, seeds) else adj.device, dtype=adj.dtype)
