"""Orders of nodes that bring neighbors close together in memory."""

from __future__ import annotations

import torch
from torch import Tensor

METHODS = ("rcm", "degree", "community")
_ROUNDS = 8  # of label propagation: labels of social and product graphs settle in fewer


def node_order(indptr: Tensor, indices: Tensor, method: str) -> Tensor:
    """[N] int64 permutation: the old number of the node that comes first, second, ... Edges count in both directions.

    rcm: reverse Cuthill-McKee, breadth first from a node at the rim: small bandwidth, for meshes and road-like graphs.
    degree: the nodes with most edges first, so that the most gathered rows share pages and caches.
    community: label propagation (Raghavan et al. 2007, arXiv:0709.2938), then one community after the other.
    """
    num_nodes = indptr.shape[0] - 1
    rows = torch.repeat_interleave(torch.arange(num_nodes), (indptr[1:] - indptr[:-1]).long())
    source, target = torch.cat([rows, indices.long()]), torch.cat([indices.long(), rows])
    if method == "degree":
        return torch.argsort(torch.bincount(source, minlength=num_nodes), descending=True, stable=True)
    if method == "rcm":
        return _reverse_cuthill_mckee(source, target, num_nodes)
    return torch.argsort(_communities(source, target, num_nodes), stable=True)


def _reverse_cuthill_mckee(source: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    import numpy as np
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    ones = np.ones(source.shape[0], dtype=np.int8)
    graph = csr_array((ones, (source.numpy(), target.numpy())), shape=(num_nodes, num_nodes))
    return torch.from_numpy(reverse_cuthill_mckee(graph, symmetric_mode=True).astype(np.int64))


def _communities(source: Tensor, target: Tensor, num_nodes: int) -> Tensor:
    """[N] label of each node's community. Each round half of the nodes take the most frequent label around them, the
    smallest of equals; all at once would swap labels back and forth across a bipartite graph."""
    label = torch.arange(num_nodes)
    for turn in range(_ROUNDS):
        moves = source % 2 == turn % 2
        node = source[moves]
        pair, count = torch.unique(node * num_nodes + label[target[moves]], return_counts=True)
        node = pair // num_nodes
        first = torch.argsort(node * (int(count.max()) + 1) - count if count.numel() else node, stable=True)
        is_best = torch.ones_like(node, dtype=torch.bool)
        is_best[1:] = node[first][1:] != node[first][:-1]
        best = first[is_best]
        before = label.clone()
        label[node[best]] = pair[best] % num_nodes
        if turn % 2 and torch.equal(label, before):
            break
    return label
