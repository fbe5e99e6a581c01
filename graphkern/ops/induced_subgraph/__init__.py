"""The part of a graph that lies within given nodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check, _sample
from graphkern.ops.induced_subgraph.reference import induced_subgraph as reference


@dataclass(frozen=True, eq=False)
class InducedSubgraph:
    """The edges among some nodes, which are renumbered by their position.

    nodes: [n] global ids, in the order given.
    adj: n x n; the edges of a row in the order of the graph.
    edge_id: [e] positions in the caller's edge order, in CSR order of adj.
    """

    nodes: Tensor
    adj: CSR
    edge_id: Tensor


def induced_subgraph(adj: CSR, nodes: Tensor) -> InducedSubgraph:
    """Keep the edges of adj between nodes.

    Args:
        adj: N x N. Memory-mapped tensors will do.
        nodes: [n] int32 or int64, each in [0, N), none twice; n < 2^32.
    Returns: InducedSubgraph, index dtype of adj.
    Raises: TypeError for a dtype; ValueError for a node out of range or given twice, a graph that is not square.
    Cost: reads the rows of nodes twice. Columns are looked up in a table of 4 N bytes, or where N is more than 4 times
        the nodes and edges read, in a hash table of 16 to 32 n bytes; one bit for each edge read meanwhile. No
        gradient.
    """
    _sample.square(adj)
    _check.index(nodes, "nodes", adj.num_rows)
    _check.same_device(adj, nodes, "nodes")
    nodes = nodes.to(adj.dtype)
    indptr, indices, edge, repeated = INDUCED_SUBGRAPH(adj.indptr, adj.indices, nodes)
    if not torch.compiler.is_compiling() and adj.device.type == "cpu" and int(repeated) >= 0:
        raise ValueError(f"nodes must not repeat but node {int(nodes[int(repeated)])} does")
    return InducedSubgraph(
        nodes=nodes,
        adj=CSR(indptr, indices, nodes.shape[0], validate=False),
        edge_id=edge if adj._edge_id is None else adj._edge_id[edge],
    )


def _fake(indptr: Tensor, indices: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    num_edges = torch.library.get_ctx().new_dynamic_size()
    new = indices.new_empty
    return new(nodes.shape[0] + 1), new(num_edges), new(num_edges), new(1, dtype=torch.int64)


INDUCED_SUBGRAPH = Op(
    "induced_subgraph",
    "(Tensor indptr, Tensor indices, Tensor nodes) -> (Tensor, Tensor, Tensor, Tensor)",
    reference=reference,
    fake=_fake,
)
