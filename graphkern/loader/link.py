"""Batches of node pairs to predict links between, with the sampled neighborhood of their ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.loader.base import Loader, check_rows
from graphkern.loader.batch import Batch
from graphkern.loader.features import CachedFeatures
from graphkern.loader.gather import take_rows
from graphkern.loader.pairs import Pairs
from graphkern.ops import _check, sample_neighbors


class LinkNeighborLoader(Loader[Batch]):
    """Batches of positive pairs and negatives drawn for them, with a sampled neighborhood of their ends.

    ``h = model(batch.x, batch.layers); score = (h[batch.pairs[0]] * h[batch.pairs[1]]).sum(-1)``, against batch.labels.
    An edge that is a positive pair may be in the neighborhood as well: leave it out of adj where that gives it away.

    Args:
        adj: N x N, E edges; its tensors may be memory-mapped files.
        fanouts: neighbors to draw a node at each hop, -1 for all.
        edges: [2, P] int32 or int64, (source, destination) of the positive pairs; None is all edges of adj, in CSR
            order.
        neg_ratio: negatives for each positive pair: uniform over the nodes that have no edge with its other end.
        corrupt: the end of a pair that its negatives change: "source", or "destination", for which the transpose of
            the excluded graph is built.
        exclude: N x N, its edges are never drawn as negatives; None is adj. Where edges are not in adj, give a graph
            that has both.
        batch_size: B positive pairs. shuffle: draw the order of the pairs anew each epoch. drop_last: leave out a last
            batch of fewer.
        x: [N, ...], any dtype, or CachedFeatures: each batch gets that of its nodes.
        edge_attr: a row for each edge in the caller's edge order: each batch gets those of its edges.
        num_threads, prefetch, seed: as for NeighborLoader.
        replace, weight, edge_time, node_time, temporal, disjoint, labor: as for sample_neighbors.
        seed_time: [P] time of each pair: its ends, and those of its negatives, see no later neighbor.
    Iterating gives Batch objects: `pairs` holds the positive pairs first, then the negatives of the first, of the
        second, and so on. Seeds are the distinct nodes of the pairs in ascending order; disjoint or with times, two for
        each pair.
    Raises: TypeError or ValueError for a wrong shape, dtype, range or option, here; in the loop ValueError for a node
        that has an edge with every other and so no negative.
    Cost: prefetch + 1 batches of memory, and P numbers if shuffled; what sample_negatives keeps with the graph.
    """

    def __init__(
        self,
        adj: CSR,
        fanouts: Sequence[int],
        edges: Tensor | None = None,
        *,
        neg_ratio: int = 1,
        corrupt: str = "source",
        exclude: CSR | None = None,
        batch_size: int = 1024,
        shuffle: bool = False,
        drop_last: bool = False,
        x: Tensor | CachedFeatures | None = None,
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
        self.positives = Pairs(adj, edges, neg_ratio, corrupt, exclude, seed_time)
        super().__init__(
            len(self.positives), batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, num_threads=num_threads,
            prefetch=prefetch, seed=seed,
        )  # fmt: skip
        check_rows(x, "x", adj.num_rows, "nodes")
        check_rows(edge_attr, "edge_attr", adj.num_edges, "edges")
        self.x, self.edge_attr = x, edge_attr
        self._options: dict[str, Any] = {
            "replace": replace, "weight": weight, "edge_time": edge_time, "node_time": node_time,
            "temporal": temporal, "disjoint": disjoint, "labor": labor,
        }  # fmt: skip
        if (edge_time is not None or node_time is not None) and seed_time is None:
            raise ValueError("edge_time and node_time need seed_time, the time of each pair")
        self._one_each = disjoint or seed_time is not None
        self._make(torch.arange(0), 0)  # refuses what sample_neighbors and sample_negatives refuse

    def _make(self, items: Tensor, seed: int) -> Batch:
        drawn = self.positives.draw(items, seed)
        (seeds,), (time,), pairs = drawn.seeds(same_type=True, one_each=self._one_each)
        sample = sample_neighbors(self.adj, seeds, self.fanouts, seed_time=time, seed=seed, **self._options)
        return Batch(
            **vars(sample),
            batch_size=items.shape[0],
            input_id=items,
            x=take_rows(self.x, sample.nodes),
            edge_attr=take_rows(self.edge_attr, sample.edge_id),
            pairs=pairs,
            labels=drawn.labels,
        )
