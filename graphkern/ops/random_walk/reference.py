"""What a walk is, draw by draw. Native kernels give the same bits."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops.sample_neighbors.reference import bounded, high_product, philox

_MASK = 0xFFFFFFFF


def _counter(first: int, attempt: int, number: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.full_like(number, first), torch.full_like(number, attempt), number & _MASK, number >> 32


class _Node2Vec:
    """One step of walks that weigh an edge by where it leads: back, to a neighbor of the previous node, elsewhere.

    Edges are proposed uniformly and accepted in proportion to their weight. A walk that was refused as often as its
    row has edges draws once more, from all edges by their weights, which leaves the probabilities as they are.
    """

    def __init__(self, indptr: Tensor, indices: Tensor, weight: list[int], seed: int) -> None:
        self.indptr, self.indices, self.seed = indptr, indices, seed
        self.back, self.near, self.far = weight
        row = torch.repeat_interleave(indptr[1:] - indptr[:-1])
        self.num_rows = indptr.shape[0] - 1
        self.edges = row * self.num_rows + indices

    def weights(self, previous: Tensor, column: Tensor) -> Tensor:
        is_near = torch.isin(previous * self.num_rows + column, self.edges)
        weight = torch.where(is_near, self.near, self.far)
        return torch.where(column == previous, self.back, weight)

    def ranks(self, number: Tensor, step: int, previous: Tensor | None, node: Tensor) -> Tensor:
        """Which of the edges of each node the walks `number` take."""
        begin, size = self.indptr[node], self.indptr[node + 1] - self.indptr[node]
        rank, waiting, attempt = torch.zeros_like(node), size > 1, 0
        while bool(waiting.any()):
            word = philox(_counter(2 * step, attempt, number), self.seed)
            proposal, bound = high_product(word[0], size), size.clamp(min=1)
            accepted = waiting & ((word[0] * size) & _MASK >= (2**32 - bound) % bound)
            if previous is not None:
                column = self.indices[torch.where(accepted, begin + proposal, 0)]
                accepted &= (word[3] << 30 | word[2] >> 2) < self.weights(previous, column)
            rank = torch.where(accepted, proposal, rank)
            waiting, attempt = waiting & ~accepted, attempt + 1
            for walk in (waiting & (size <= attempt)).nonzero().flatten().tolist():
                columns = self.indices[begin[walk] : begin[walk] + size[walk]]
                before = torch.full_like(columns, -1) if previous is None else previous[walk].expand_as(columns)
                rank[walk] = self.draw(number[walk : walk + 1], step, self.weights(before, columns).tolist())
            waiting &= size > attempt
        return rank

    def draw(self, number: Tensor, step: int, weight: list[int]) -> int:
        """The first edge whose running sum of weights exceeds a uniform integer below their total."""
        total, attempt = sum(weight), 0
        share = total
        while share >= total:
            word = [int(w) for w in philox(_counter(2 * step + 1, attempt, number), self.seed)]
            share = (word[0] | word[1] << 32 | word[2] << 64) & ((1 << total.bit_length()) - 1)
            attempt += 1
        rank = 0
        while share >= weight[rank]:
            share -= weight[rank]
            rank += 1
        return rank


def random_walk(
    indptr: Tensor,
    indices: Tensor,
    set_indptr: Tensor | None,
    set_indices: Tensor | None,
    start: Tensor,
    length: int,
    weight: list[int],
    seed: int,
) -> Tensor:
    """weight: three integers in [1, 2^62], the largest of them 2^62; all equal is a uniform walk. set_indptr,
    set_indices: the graph with the columns of each row ascending, each once; the result does not depend on them."""
    graph = indptr.long(), indices.long()
    node2vec = _Node2Vec(*graph, weight, seed) if len(set(weight)) > 1 else None
    node, previous = start.long(), None
    number, walk = torch.arange(node.shape[0], device=node.device), [node]
    for step in range(length):
        begin, size = graph[0][node], graph[0][node + 1] - graph[0][node]
        if node2vec is None:
            rank = bounded(number, step, size.clamp(min=1), 0, seed)
        else:
            rank = node2vec.ranks(number, step, previous, node)
        moves, next_node = size > 0, node.clone()
        next_node[moves] = graph[1][(begin + rank)[moves]]
        previous, node = node, next_node
        walk.append(node)
    return torch.stack(walk, dim=1).to(indices.dtype)
