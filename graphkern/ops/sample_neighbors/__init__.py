"""Multi-hop neighbor sampling in one call, the same bits for a seed on every backend and thread count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _check
from graphkern.ops.sample_neighbors.reference import sample_neighbors as reference


@dataclass(frozen=True, eq=False)
class SampledSubgraph:
    """A sampled neighborhood with nodes renumbered in order of first sight, seeds first.

    nodes: [n] global ids; the first len(seeds) are the seeds as given.
    adj: n x n; rows of the last hop are empty.
    edge_id: [e] positions in the caller's edge order, in CSR order of adj.
    num_nodes_per_hop: nodes first seen at each hop, the seeds before the first (hops + 1 numbers).
    num_edges_per_hop: edges drawn at each hop.
    """

    nodes: Tensor
    adj: CSR
    edge_id: Tensor
    num_nodes_per_hop: list[int]
    num_edges_per_hop: list[int]

    @property
    def layers(self) -> list[CSR]:
        """One trimmed CSR a hop, outermost first: ``for conv, adj in zip(convs, sub.layers): x = conv(x, adj)`` takes
        features of all nodes to features of the seeds. Views of adj, no copy."""
        bounds = [sum(self.num_nodes_per_hop[: hop + 1]) for hop in range(len(self.num_nodes_per_hop))]
        edges = [sum(self.num_edges_per_hop[: hop + 1]) for hop in range(len(self.num_edges_per_hop))]
        return [
            CSR(self.adj.indptr[: rows + 1], self.adj.indices[:last], cols, validate=False)
            for rows, cols, last in reversed(list(zip(bounds[:-1], bounds[1:], edges, strict=True)))
        ]


def sample_neighbors(
    adj: CSR, seeds: Tensor, fanouts: Sequence[int], *, replace: bool = False, seed: int = 0
) -> SampledSubgraph:
    """Sample neighbors hop by hop, uniformly, and renumber the nodes found.

    Args:
        adj: N x N; rows are expanded. Rows of 2^32 edges or more are not supported.
        seeds: [B] int32 or int64 rows to start from. A repeated seed keeps a row of its own with the same sample.
        fanouts: neighbors to draw a node at each hop; -1 takes all. Without replacement a row of fewer edges gives all
            of them, in CSR order.
        replace: draw with replacement: a row with edges gives exactly `fanout`.
        seed: any int64; the sample is a function of (adj, seeds, fanouts, replace, seed) alone.
    Returns: SampledSubgraph, index dtype of adj.
    Raises: TypeError for a dtype; ValueError for a seed out of range, a fanout below -1, no fanouts, a graph that is
        not square.
    Cost: O(sampled edges) time and memory. No gradient.
    Source: Philox: Salmon et al. 2011 (doi:10.1145/2063384.2063405); unbiased bounds: Lemire 2019 (arXiv:1805.10941);
        subsets: Bentley and Floyd 1987 (doi:10.1145/30401.315746).
    """
    _check.is_csr(adj)
    if adj.num_rows != adj.num_cols:
        raise ValueError(f"adj must be square but is {adj.num_rows} x {adj.num_cols}")
    _check.index(seeds, "seeds", adj.num_rows)
    _check.same_device(adj, seeds, "seeds")
    fanouts = [int(fanout) for fanout in fanouts]
    if not fanouts or min(fanouts) < -1:
        raise ValueError(f"fanouts must be one number a hop, each at least -1, but are {fanouts}")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must fit int64 but is {seed}")
    nodes, indptr, indices, edge, nodes_per_hop, edges_per_hop = SAMPLE_NEIGHBORS(
        adj.indptr, adj.indices, seeds.to(adj.dtype), fanouts, replace, seed
    )
    return SampledSubgraph(
        nodes=nodes,
        adj=CSR(indptr, indices, nodes.shape[0], validate=False),
        edge_id=edge if adj._edge_id is None else adj._edge_id[edge],
        num_nodes_per_hop=nodes_per_hop.tolist(),
        num_edges_per_hop=edges_per_hop.tolist(),
    )


def _fake(indptr: Tensor, indices: Tensor, seeds: Tensor, fanouts: list[int], replace, seed):
    ctx = torch.library.get_ctx()
    num_nodes, num_edges = ctx.new_dynamic_size(), ctx.new_dynamic_size()
    shapes = (num_nodes, num_nodes + 1, num_edges, num_edges)
    hops = [torch.empty(size, dtype=torch.int64) for size in (len(fanouts) + 1, len(fanouts))]
    return (*(indices.new_empty(shape) for shape in shapes), *hops)


SAMPLE_NEIGHBORS = Op(
    "sample_neighbors",
    "(Tensor indptr, Tensor indices, Tensor seeds, int[] fanouts, bool replace, int seed)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    reference=reference,
    fake=_fake,
)
