"""Pairs of nodes to predict a link between: positive ones from edges, negative ones drawn for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.loader.base import check_rows
from graphkern.loader.gather import take_rows
from graphkern.loader.neighbor import node_numbers
from graphkern.ops import sample_negatives


class Pairs:
    """Positive pairs (source, destination) of a graph, and negatives that replace one end of them.

    Args:
        adj: N x M: destinations are its rows, sources its columns.
        edges: [2, P] sources and destinations; None is every edge of adj, in CSR order.
        neg_ratio: negative pairs for each positive one.
        corrupt: "source" or "destination", the end that a negative pair changes.
        exclude: N x M, the pairs that are never drawn as negatives; None is adj.
    """

    def __init__(
        self,
        adj: CSR,
        edges: Tensor | None,
        neg_ratio: int,
        corrupt: str,
        exclude: CSR | None,
        seed_time: Tensor | None,
    ) -> None:
        if corrupt not in ("source", "destination"):
            raise ValueError(f"corrupt must be 'source' or 'destination' but is {corrupt!r}")
        if neg_ratio < 0 or neg_ratio != int(neg_ratio):
            raise ValueError(f"neg_ratio must be a whole number of negatives a pair but is {neg_ratio}")
        exclude = adj if exclude is None else exclude
        if not isinstance(exclude, CSR):
            raise TypeError(f"exclude must be a graphkern.CSR but is {type(exclude).__name__}")
        if (exclude.num_rows, exclude.num_cols) != (adj.num_rows, adj.num_cols):
            raise ValueError(
                f"exclude must be {adj.num_rows} x {adj.num_cols} but is {exclude.num_rows} x {exclude.num_cols}"
            )
        if edges is not None:
            if not isinstance(edges, Tensor):
                raise TypeError(f"edges must be a Tensor but is {type(edges).__name__}")
            if edges.dim() != 2 or edges.shape[0] != 2:
                raise ValueError(f"edges must be [2, P] but is {list(edges.shape)}")
            source = node_numbers(edges[0], adj.num_cols, adj, "edges[0] (source)")
            destination = node_numbers(edges[1], adj.num_rows, adj, "edges[1] (destination)")
            edges = torch.stack([source, destination]).to(adj.device)
        self.adj, self.edges, self.neg_ratio, self.seed_time = adj, edges, int(neg_ratio), seed_time
        self.corrupts_source = corrupt == "source"
        self.exclude = exclude if self.corrupts_source or not neg_ratio else exclude.t()
        check_rows(seed_time, "seed_time", len(self), "pairs")

    def __len__(self) -> int:
        return self.adj.num_edges if self.edges is None else self.edges.shape[1]

    def draw(self, items: Tensor, seed: int) -> DrawnPairs:
        """The positive pairs `items` and their negatives: those of the first, of the second, and so on."""
        place = items.to(self.adj.device)
        if self.edges is None:
            source = self.adj.indices[place].long()
            destination = torch.searchsorted(self.adj.indptr, place.to(self.adj.dtype), right=True) - 1
        else:
            source, destination = self.edges[:, place].long()
        kept = destination if self.corrupts_source else source
        changed = sample_negatives(self.exclude, kept, self.neg_ratio, seed=seed).long().flatten()
        kept = kept.repeat_interleave(self.neg_ratio)
        negative = (changed, kept) if self.corrupts_source else (kept, changed)
        time = take_rows(self.seed_time, items)
        return DrawnPairs(
            source=torch.cat([source, negative[0]]),
            destination=torch.cat([destination, negative[1]]),
            labels=torch.cat([torch.ones(len(source)), torch.zeros(len(changed))]).to(place.device),
            time=None if time is None else torch.cat([time, time.repeat_interleave(self.neg_ratio)]),
        )


@dataclass(frozen=True)
class DrawnPairs:
    """source, destination: [P] int64 nodes. labels: [P]. time: [P] of the pair, or None."""

    source: Tensor
    destination: Tensor
    labels: Tensor
    time: Tensor | None

    def seeds(self, same_type: bool, one_each: bool) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        """Nodes to sample from, their times, and the pairs as places among them.

        One list entry where both ends are of one type, else one of the sources and one of the destinations. Each node
        comes once and in ascending order, or with one_each once for every pair that it is in.
        """
        ends = [torch.cat([self.source, self.destination])] if same_type else [self.source, self.destination]
        if one_each:
            time = self.time if self.time is None or not same_type else torch.cat([self.time, self.time])
            places = [torch.arange(len(end), device=end.device) for end in ends]
            return ends, [time] * len(ends), torch.cat(places).view(2, -1)
        found = [end.unique(return_inverse=True) for end in ends]
        return [nodes for nodes, _ in found], [None] * len(ends), torch.cat([place for _, place in found]).view(2, -1)
