"""What a sample is, draw by draw. Native kernels give the same bits."""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def _high(constant: int, word: Tensor) -> Tensor:
    """Upper 32 bits of constant * word; both below 2^32, held in int64."""
    low, high = word & 0xFFFF, word >> 16
    return (constant * high + ((constant * low) >> 16)) >> 16


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10 (Salmon et al. 2011): four random 32-bit words (in int64) for four counter words and a seed."""
    c0, c1, c2, c3 = counter
    k0, k1 = seed & _MASK, (seed >> 32) & _MASK
    for _ in range(10):
        high0, low0 = _high(0xD2511F53, c0), (c0 * 0xD2511F53) & _MASK
        high1, low1 = _high(0xCD9E8D57, c2), (c2 * 0xCD9E8D57) & _MASK
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def bounded(node: Tensor, hop: int, draw: int, bound: Tensor, seed: int) -> Tensor:
    """Uniform integer in [0, bound) for each node: draw number `draw` of hop `hop`.

    Lemire's multiply and reject (arXiv:1805.10941): the word of lane draw % 4 at counter
    (draw // 4, hop + 2^16 * attempt, node low, node high), attempt 0, 1, ... until one is not rejected.
    """
    result, waiting, attempt = torch.zeros_like(node), torch.ones_like(node, dtype=torch.bool), 0
    while bool(waiting.any()):
        block, stream = torch.full_like(node, draw // 4), torch.full_like(node, hop + (attempt << 16))
        word = philox((block, stream, node & _MASK, node >> 32), seed)[draw % 4]
        high = (word * (bound & 0xFFFF) >> 16) + word * (bound >> 16) >> 16  # (word * bound) >> 32 without overflow
        low = (word * bound) & _MASK
        accepted = waiting & (low >= (2**32 - bound) % bound)
        result, waiting, attempt = torch.where(accepted, high, result), waiting & ~accepted, attempt + 1
    return result


def _positions(node: Tensor, degree: Tensor, fanout: int, replace: bool, hop: int, seed: int) -> list[Tensor]:
    """For each node the positions of its sampled neighbors within its row, in drawing order."""
    if fanout < 0:
        return [torch.arange(int(d)) for d in degree]
    draws = torch.zeros(node.shape[0], fanout, dtype=torch.long)
    bound = degree.clamp(min=1)
    for j in range(fanout):
        if replace:
            draws[:, j] = bounded(node, hop, j, bound, seed)
        else:  # Floyd's subset sampling: Bentley and Floyd 1987
            last = (degree - fanout + j).clamp(min=0)
            value = bounded(node, hop, j, last + 1, seed)
            taken = (draws[:, :j] == value[:, None]).any(dim=1)
            draws[:, j] = torch.where(taken, last, value)
    if replace:
        return [row if d > 0 else row[:0] for row, d in zip(draws, degree.tolist(), strict=True)]
    return [row if d > fanout else torch.arange(d) for row, d in zip(draws, degree.tolist(), strict=True)]


def sample_neighbors(
    indptr: Tensor, indices: Tensor, seeds: Tensor, fanouts: list[int], replace: bool, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """nodes [n], local indptr [n + 1], local indices [e], stored edge of each [e], nodes and edges a hop.

    Each hop expands the nodes that the hop before found first. A repeated seed keeps a row of its own with the same
    sample; edges lead to its first row.
    """
    nodes: list[int] = seeds.tolist()
    local: dict[int, int] = {}
    for position, node in enumerate(nodes):
        local.setdefault(node, position)
    counts: list[int] = []
    columns: list[int] = []
    edges: list[int] = []
    nodes_per_hop, edges_per_hop, begin = [len(nodes)], [], 0
    row_start, neighbors = indptr.cpu().long(), indices.cpu()
    for hop, fanout in enumerate(fanouts):
        frontier = torch.tensor(nodes[begin:], dtype=torch.long)
        begin, known = len(nodes), len(edges)
        degree = row_start[frontier + 1] - row_start[frontier]
        drawn = _positions(frontier, degree, fanout, replace, hop, seed)
        for start, positions in zip(row_start[frontier].tolist(), drawn, strict=True):
            counts.append(positions.shape[0])
            for edge in (start + positions).tolist():
                node = int(neighbors[edge])
                if node not in local:
                    local[node] = len(nodes)
                    nodes.append(node)
                columns.append(local[node])
                edges.append(edge)
        nodes_per_hop.append(len(nodes) - begin)
        edges_per_hop.append(len(edges) - known)
    local_indptr = torch.zeros(len(nodes) + 1, dtype=torch.long)
    local_indptr[1 : len(counts) + 1] = torch.tensor(counts, dtype=torch.long)
    results = [nodes, local_indptr.cumsum(0), columns, edges]
    made = [torch.as_tensor(r, dtype=indices.dtype, device=indices.device) for r in results]
    return (*made, torch.tensor(nodes_per_hop), torch.tensor(edges_per_hop))  # type: ignore[return-value]
