from __future__ import annotations

import torch
from torch import Tensor


def induced_subgraph(indptr: Tensor, indices: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """indptr [n + 1], indices [e], edge [e] position in indices, repeated [1] the first position in nodes of a node
    that has been before, or -1. Edges lead to the first of equal nodes."""
    node, num_kept = nodes.long(), nodes.shape[0]
    position = torch.arange(num_kept, device=nodes.device)
    place = torch.full((indptr.shape[0] - 1,), num_kept, device=nodes.device)
    place.scatter_reduce_(0, node, position, "amin")
    again = position[place[node] != position][:1]
    begin, size = indptr.long()[node], (indptr[1:] - indptr[:-1]).long()[node]
    row = torch.repeat_interleave(size)
    edge = torch.arange(row.shape[0], device=nodes.device) - (size.cumsum(0) - size - begin)[row]
    column = place[indices.long()[edge]]
    row, edge, column = (t[column < num_kept] for t in (row, edge, column))
    bounds = torch.zeros(num_kept + 1, dtype=torch.long, device=nodes.device)
    bounds[1:] = torch.bincount(row, minlength=num_kept).cumsum(0)
    repeated = again if again.shape[0] else again.new_full((1,), -1)
    return bounds.to(indices.dtype), column.to(indices.dtype), edge.to(indices.dtype), repeated
