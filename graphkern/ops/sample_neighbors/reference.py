"""What a sample is, draw by draw. Native kernels give the same bits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # as int64: disjoint subgraph b draws with the key seed + (b + 1) * _GOLDEN

Counter = tuple[Tensor, Tensor, Tensor, Tensor]


def _high(constant: int, word: Tensor) -> Tensor:
    """Upper 32 bits of constant * word; both below 2^32, held in int64."""
    low, high = word & 0xFFFF, word >> 16
    return (constant * high + ((constant * low) >> 16)) >> 16


def philox(counter: Counter, seed: int | Tensor) -> Counter:
    """Philox4x32-10 (Salmon et al. 2011): four random 32-bit words (in int64) for four counter words and a key."""
    c0, c1, c2, c3 = counter
    k0, k1 = seed & _MASK, (seed >> 32) & _MASK
    for _ in range(10):
        high0, low0 = _high(0xD2511F53, c0), (c0 * 0xD2511F53) & _MASK
        high1, low1 = _high(0xCD9E8D57, c2), (c2 * 0xCD9E8D57) & _MASK
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def words(node: Tensor, draw: Tensor, stream: int, key: int | Tensor, attempt: int = 0) -> Tensor:
    """Random word number `draw` of each node: lane draw % 4 at counter
    (draw // 4, stream + 2^16 * attempt, node low, node high)."""
    second = torch.full_like(node, stream + (attempt << 16))
    four = torch.stack(philox((draw // 4, second, node & _MASK, node >> 32), key))
    return four.gather(0, (draw % 4)[None])[0]


def high_product(word: Tensor, bound: Tensor) -> Tensor:
    """(word * bound) >> 32 without overflow; both below 2^32."""
    return (word * (bound & 0xFFFF) >> 16) + word * (bound >> 16) >> 16


def bounded(node: Tensor, draw: int, bound: Tensor, stream: int, key: int | Tensor) -> Tensor:
    """Uniform integer in [0, bound) for each node. Lemire's multiply and reject (arXiv:1805.10941): the word of
    attempt 0, 1, ... until one is not rejected."""
    result, waiting, attempt = torch.zeros_like(node), torch.ones_like(node, dtype=torch.bool), 0
    while bool(waiting.any()):
        word = words(node, torch.full_like(node, draw), stream, key, attempt)
        accepted = waiting & ((word * bound) & _MASK >= (2**32 - bound) % bound)
        result = torch.where(accepted, high_product(word, bound), result)
        waiting, attempt = waiting & ~accepted, attempt + 1
    return result


def exponential(word: Tensor) -> Tensor:
    """-log2((word + 1) / 2^32) in float64, from additions, multiplications and one division in a fixed order, so that
    every machine gets the same bits."""
    mantissa, exponent = torch.frexp((word + 1).double())  # mantissa in [0.5, 1)
    low = mantissa < 0.70710678118654752
    mantissa = torch.where(low, mantissa * 2, mantissa)  # in [sqrt(0.5), sqrt(2))
    exponent = exponent - low.to(exponent.dtype)
    t = (mantissa - 1) / (mantissa + 1)
    t2 = t * t
    series = torch.full_like(t, 1 / 13)
    for term in (1 / 11, 1 / 9, 1 / 7, 1 / 5, 1 / 3, 1.0):  # atanh t / t
        series = series * t2 + term
    return (32 - exponent.double()) - series * t * 2.8853900817779268  # 2 / ln 2


@dataclass(frozen=True)
class Frontier:
    """Rows to expand by one relation, and their edges that may be drawn, row after row.

    node, key: [R]; size: [R] edges a row; start: [R] where they begin in `edge`; row, edge: [sum of sizes] row within
    the frontier and position in the CSR.
    """

    node: Tensor
    key: int | Tensor
    stream: int
    size: Tensor
    start: Tensor
    row: Tensor
    edge: Tensor


def _all_edges(node: Tensor, key: int | Tensor, stream: int, indptr: Tensor) -> Frontier:
    size = indptr[node + 1] - indptr[node]
    row = torch.repeat_interleave(size)
    edge = torch.arange(row.shape[0]) - (size.cumsum(0) - size)[row] + indptr[node][row]
    return Frontier(node, key, stream, size, size.cumsum(0) - size, row, edge)


def _only(rows: Frontier, keep: Tensor) -> Frontier:
    row, edge = rows.row[keep], rows.edge[keep]
    size = torch.bincount(row, minlength=rows.node.shape[0])
    return Frontier(rows.node, rows.key, rows.stream, size, size.cumsum(0) - size, row, edge)


def _uniform(rows: Frontier, fanout: int, replace: bool) -> list[Tensor]:
    """For each row the ranks that are drawn among its edges, in drawing order."""
    draws = torch.zeros(rows.node.shape[0], fanout, dtype=torch.long)
    for j in range(fanout):
        if replace:
            draws[:, j] = bounded(rows.node, j, rows.size.clamp(min=1), rows.stream, rows.key)
        else:  # Floyd's subset sampling: Bentley and Floyd 1987
            last = (rows.size - fanout + j).clamp(min=0)
            value = bounded(rows.node, j, last + 1, rows.stream, rows.key)
            taken = (draws[:, :j] == value[:, None]).any(dim=1)
            draws[:, j] = torch.where(taken, last, value)
    if replace:
        return [row if size > 0 else row[:0] for row, size in zip(draws, rows.size.tolist(), strict=True)]
    return [row if n > fanout else torch.arange(n) for row, n in zip(draws, rows.size.tolist(), strict=True)]


def _first(rows: Frontier, order: Tensor, count: int) -> list[Tensor]:
    """For each row the ranks of the `count` edges that come first in `order` [all edges], ascending."""
    by_row = order[torch.sort(rows.row[order], stable=True).indices]
    place = torch.arange(by_row.shape[0]) - rows.start[rows.row]
    chosen = torch.zeros(by_row.shape[0], dtype=torch.bool)
    chosen[by_row[place < count]] = True
    return _ranks(rows, chosen)


def _ranks(rows: Frontier, chosen: Tensor) -> list[Tensor]:
    rank = torch.arange(chosen.shape[0]) - rows.start[rows.row]
    sizes = torch.bincount(rows.row[chosen], minlength=rows.node.shape[0])
    return list(rank[chosen].split(sizes.tolist()))


def _heaviest(rows: Frontier, weight: Tensor, fanout: int) -> list[Tensor]:
    """Without replacement, in proportion to weight: an edge's clock rings after an exponential time divided by its
    weight, the first that ring are taken (Efraimidis and Spirakis 2006). Weights are positive."""
    key = rows.key if isinstance(rows.key, int) else rows.key[rows.row]
    rank = torch.arange(rows.row.shape[0]) - rows.start[rows.row]
    clock = exponential(words(rows.node[rows.row], rank, rows.stream, key)) / weight
    return _first(rows, torch.sort(clock, stable=True).indices, fanout)


def _proportional(rows: Frontier, weight: Tensor, fanout: int) -> list[Tensor]:
    """With replacement, in proportion to weight: the first edge whose running sum exceeds a share of the total."""
    drawn = []
    for row in range(rows.node.shape[0]):
        begin, size = int(rows.start[row]), int(rows.size[row])
        if size == 0:
            drawn.append(torch.zeros(0, dtype=torch.long))
            continue
        total = weight[begin : begin + size].cumsum(0)
        key = rows.key if isinstance(rows.key, int) else rows.key[row].expand(fanout)
        word = words(rows.node[row].expand(fanout), torch.arange(fanout), rows.stream, key)
        drawn.append(torch.searchsorted(total, word.double() * 2.0**-32 * total[-1], right=True))
    return drawn


def _labor(rows: Frontier, column: Tensor, fanout: int) -> list[Tensor]:
    """An edge is taken with probability min(1, fanout / size of its row), by one word for each column that all rows
    share: Balin and Catalyurek 2023 (arXiv:2210.13339), LABOR-0."""
    key = rows.key if isinstance(rows.key, int) else rows.key[rows.row]
    word = words(column, torch.zeros_like(column), rows.stream, key)
    size = rows.size[rows.row]
    return _ranks(rows, (size <= fanout) | (high_product(word, size) < fanout))


def _draw(
    rows: Frontier,
    indices: Tensor,
    weight: Tensor | None,
    time: Tensor | None,
    limit: Tensor | None,
    fanout: int,
    mode: str,
    replace: bool,
) -> list[Tensor]:
    """For each row of the frontier the edges drawn, as positions in the CSR. limit: [R] the latest time allowed."""
    if limit is not None and time is not None:
        rows = _only(rows, time[rows.edge] <= limit[rows.row])
    if weight is not None:
        rows = _only(rows, weight[rows.edge] > 0)
    if fanout < 0:
        ranks = list(torch.arange(rows.row.shape[0]).split(rows.size.tolist()))
        return [rows.edge[r] for r in ranks]
    if mode == "labor":
        ranks = _labor(rows, indices[rows.edge], fanout)
    elif mode == "last":
        if time is None:
            raise RuntimeError("the last edges need times")
        latest = torch.sort(time[rows.edge].flip(0), descending=True, stable=True).indices
        ranks = _first(rows, rows.row.shape[0] - 1 - latest, fanout)
    elif weight is None:
        ranks = _uniform(rows, fanout, replace)
    elif replace:
        ranks = _proportional(rows, weight[rows.edge].double(), fanout)
    else:
        ranks = _heaviest(rows, weight[rows.edge].double(), fanout)
    return [rows.edge[start + r] for start, r in zip(rows.start.tolist(), ranks, strict=True)]


class _Nodes:
    """The nodes of one type found so far, in order of first sight, each under (subgraph, node)."""

    def __init__(self, seeds: Tensor, disjoint: bool, first_batch: int) -> None:
        self.nodes: list[int] = seeds.tolist()
        self.batch = [first_batch + i if disjoint else 0 for i in range(len(self.nodes))]
        self.local: dict[tuple[int, int], int] = {}
        for position, key in enumerate(zip(self.batch, self.nodes, strict=True)):
            self.local.setdefault(key, position)
        self.begin, self.per_hop = 0, [len(self.nodes)]

    def find(self, batch: int, node: int) -> int:
        position = self.local.setdefault((batch, node), len(self.nodes))
        if position == len(self.nodes):
            self.nodes.append(node)
            self.batch.append(batch)
        return position


def sample_neighbors(
    indptr: list[Tensor],
    indices: list[Tensor],
    edge_id: list[Tensor],
    source: list[int],
    destination: list[int],
    seeds: list[Tensor],
    weight: list[Tensor],
    time: list[Tensor],
    seed_time: list[Tensor],
    num_nodes: list[int],
    fanouts: list[int],
    mode: str,
    replace: bool,
    disjoint: bool,
    node_time: bool,
    seed: int,
) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], list[Tensor], Tensor, Tensor]:
    """For T node types and R relations.

    Args:
        indptr, indices, edge_id: of each relation; its rows are nodes of type destination[r], its columns of type
            source[r]; edge_id [E] is what stands for an edge in the results, its position where it is empty.
        seeds, seed_time: of each type; seed_time is an empty list where times do not count.
        weight, time: of each relation's edges, in CSR order, or empty lists. node_time: time has the columns' instead.
        num_nodes: of each type. fanouts: hop after hop, each of every relation.
        mode: "uniform", "last" or "labor".
    Returns: nodes and their subgraphs (the number of the seed among all seeds, or empty) a type; local indptr, local
        indices and edges a relation; nodes [T, hops + 1] and edges [R, hops] found at each hop.
    """
    relations = len(indptr)
    first_batch = [sum(s.shape[0] for s in seeds[:t]) for t in range(len(seeds))]
    found = [_Nodes(s, disjoint, first) for s, first in zip(seeds, first_batch, strict=True)]
    times = torch.cat([t.long() for t in seed_time]) if seed_time else None
    counts: list[list[int]] = [[] for _ in range(relations)]
    columns: list[list[int]] = [[] for _ in range(relations)]
    edges: list[list[int]] = [[] for _ in range(relations)]
    edges_per_hop: list[list[int]] = [[] for _ in range(relations)]
    for hop in range(len(fanouts) // max(relations, 1)):
        frontiers = [(nodes.nodes[nodes.begin :], nodes.batch[nodes.begin :]) for nodes in found]
        for nodes in found:
            nodes.begin = len(nodes.nodes)
        for r in range(relations):
            node, batch = (torch.tensor(values, dtype=torch.long) for values in frontiers[destination[r]])
            key = seed + (batch + 1) * _GOLDEN if disjoint else seed
            stream = hop * relations + r
            pointers, neighbors = indptr[r].cpu().long(), indices[r].cpu().long()
            rows = _all_edges(node, key, stream, pointers)
            its_time = time[r].cpu() if time else None
            if node_time and its_time is not None:
                its_time = its_time[neighbors]
            limit = times[batch] if times is not None else None
            its_weight = weight[r].cpu() if weight else None
            drawn = _draw(rows, neighbors, its_weight, its_time, limit, fanouts[stream], mode, replace)
            known = len(edges[r])
            for subgraph, chosen in zip(batch.tolist(), drawn, strict=True):
                counts[r].append(chosen.shape[0])
                edges[r] += chosen.tolist()
                columns[r] += [found[source[r]].find(subgraph, n) for n in neighbors[chosen].tolist()]
            edges_per_hop[r].append(len(edges[r]) - known)
        for nodes in found:
            nodes.per_hop.append(len(nodes.nodes) - nodes.begin)

    def made(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=seeds[0].dtype, device=seeds[0].device)

    local_indptr = []
    for r in range(relations):
        size = torch.zeros(len(found[destination[r]].nodes) + 1, dtype=torch.long)
        size[1 : len(counts[r]) + 1] = torch.tensor(counts[r], dtype=torch.long)
        local_indptr.append(made(size.cumsum(0).tolist()))
    return (
        [made(nodes.nodes) for nodes in found],
        [made(nodes.batch if disjoint else []) for nodes in found],
        local_indptr,
        [made(c) for c in columns],
        [ids[made(e).long()] if ids.numel() else made(e) for e, ids in zip(edges, edge_id, strict=True)],
        torch.tensor([nodes.per_hop for nodes in found]),
        torch.tensor(edges_per_hop).view(relations, -1),
    )
