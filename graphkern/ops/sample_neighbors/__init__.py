"""Multi-hop neighbor sampling in one call, the same bits for a seed on every backend and thread count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import CSR
from graphkern.ops import _sample
from graphkern.ops.sample_neighbors.reference import sample_neighbors as reference


@dataclass(frozen=True, eq=False)
class SampledSubgraph:
    """A sampled neighborhood with nodes renumbered in order of first sight, seeds first.

    nodes: [n] global ids; the first len(seeds) are the seeds as given.
    adj: n x n; rows of the last hop are empty.
    edge_id: [e] positions in the caller's edge order, in CSR order of adj.
    num_nodes_per_hop: nodes first seen at each hop, the seeds before the first (hops + 1 numbers).
    num_edges_per_hop: edges drawn at each hop.
    batch: [n] the position in seeds of the seed whose subgraph a node belongs to; None where subgraphs are one.
    """

    nodes: Tensor
    adj: CSR
    edge_id: Tensor
    num_nodes_per_hop: list[int]
    num_edges_per_hop: list[int]
    batch: Tensor | None = None

    @property
    def layers(self) -> list[CSR]:
        """One trimmed CSR a hop, outermost first: ``for conv, adj in zip(convs, sub.layers): x = conv((x,
        x[: adj.num_rows]), adj)`` takes features of all nodes to features of the seeds. Views of adj, no copy."""
        bounds, edges = list(accumulate(self.num_nodes_per_hop)), list(accumulate(self.num_edges_per_hop))
        return [
            CSR(self.adj.indptr[: rows + 1], self.adj.indices[:last], cols, validate=False)
            for rows, cols, last in reversed(list(zip(bounds[:-1], bounds[1:], edges, strict=True)))
        ]


def sample_neighbors(
    adj: CSR,
    seeds: Tensor,
    fanouts: Sequence[int],
    *,
    replace: bool = False,
    weight: Tensor | None = None,
    edge_time: Tensor | None = None,
    node_time: Tensor | None = None,
    seed_time: Tensor | None = None,
    temporal: str = "uniform",
    disjoint: bool = False,
    labor: bool = False,
    seed: int = 0,
) -> SampledSubgraph:
    """Sample neighbors hop by hop and renumber the nodes found.

    Args:
        adj: N x N; rows are expanded. Rows of 2^32 edges or more are not supported. Memory-mapped tensors will do, and
            with seeds on a CUDA device a graph in page-locked host memory (``adj.pin_memory()``), of any size: the
            device reads from there what it samples. So may weight, edge_time and node_time lie.
        seeds: [B] int32 or int64 rows to start from. A repeated seed keeps a row of its own with the same sample.
        fanouts: neighbors to draw a node at each hop; -1 takes all. Without replacement a row of fewer edges gives all
            of them, in CSR order.
        replace: draw with replacement: a row with edges gives exactly `fanout`.
        weight: [E] in CSR order, float32 or float64, finite, not negative: edges are drawn in proportion to it, one
            after the other (without replacement: each from those that are left). Edges of weight 0 never are.
        edge_time: [E] in CSR order, int64, not negative: only edges of a time up to that of the seed are drawn.
        node_time: [N], in place of edge_time: the time of the node that an edge leads to.
        seed_time: [B] int64, not negative; None with node_time is that of the seeds.
        temporal: "uniform", or "last": the latest `fanout` edges up to the time of the seed; of equal times the last
            in CSR order.
        disjoint: every seed gets a subgraph of its own, drawn independently. Times imply it.
        labor: LABOR-0: draw each edge with probability min(1, fanout / edges of its row), by one random number for
            each node of a hop, so that rows share neighbors: as many edges in expectation, fewer nodes.
        seed: any int64; the sample is a function of the arguments alone, whatever the number of threads.
    Returns: SampledSubgraph, index dtype of adj.
    Raises: TypeError for a dtype; ValueError for a seed out of range, a fanout below -1, no fanouts, a graph that is
        not square, a negative time, a negative or infinite weight or NaN, arguments that exclude each other. Values of
        weights and times are read once, when a tensor is first given.
    Cost: O(sampled edges) time and memory; with weights, times or labor O(edges of the expanded rows) time. No
        gradient. On CUDA the host waits once, for the sizes of the results, where fanouts bound the sample to 2^24
        seeds and edges, else once a hop.
    Source: Philox: Salmon et al. 2011 (doi:10.1145/2063384.2063405); unbiased bounds: Lemire 2019 (arXiv:1805.10941);
        subsets: Bentley and Floyd 1987 (doi:10.1145/30401.315746); weights: Efraimidis and Spirakis 2006
        (doi:10.1016/j.ipl.2005.11.003); LABOR: Balin and Catalyurek 2023 (arXiv:2210.13339).
    """
    _sample.square(adj)
    options = _sample.Options(replace, temporal, disjoint, labor, seed)
    relation = _sample.relation(adj, weight, edge_time, node_time)
    times = _sample.seed_times(relation, {"": seeds}, {"": seed_time}, {"": node_time})
    sample = SAMPLE_NEIGHBORS(
        *_sample.arguments({("", "", ""): relation}, {"": seeds}, times, _sample.fanouts(fanouts), options)
    )
    nodes, batch, indptr, indices, edge, nodes_per_hop, edges_per_hop = sample
    return SampledSubgraph(
        nodes=nodes[0],
        adj=CSR(indptr[0], indices[0], nodes[0].shape[0], validate=False),
        edge_id=edge[0],
        num_nodes_per_hop=nodes_per_hop[0].tolist(),
        num_edges_per_hop=edges_per_hop[0].tolist(),
        batch=batch[0] if disjoint or times else None,
    )


def _fake(
    indptr, indices, edge_id, source, destination: list[int], seeds: list[Tensor], weight, time, seed_time, num_nodes,
    fanouts: list[int], mode, replace, disjoint: bool, node_time, seed,
):  # fmt: skip
    ctx = torch.library.get_ctx()
    num_nodes = [ctx.new_dynamic_size() for _ in seeds]
    num_edges = [ctx.new_dynamic_size() for _ in indptr]
    new, hops = seeds[0].new_empty, len(fanouts) // max(len(indptr), 1)
    return (
        [new(n) for n in num_nodes],
        [new(n if disjoint else 0) for n in num_nodes],
        [new(num_nodes[d] + 1) for d in destination],
        [new(n) for n in num_edges],
        [new(n) for n in num_edges],
        torch.empty(len(seeds), hops + 1, dtype=torch.int64),
        torch.empty(len(indptr), hops, dtype=torch.int64),
    )


SAMPLE_NEIGHBORS = Op(
    "sample_neighbors",
    "(Tensor[] indptr, Tensor[] indices, Tensor[] edge_id, int[] source, int[] destination, Tensor[] seeds,"
    " Tensor[] weight, Tensor[] time, Tensor[] seed_time, int[] num_nodes, int[] fanouts, str mode, bool replace,"
    " bool disjoint, bool node_time, int seed) -> (Tensor[], Tensor[], Tensor[], Tensor[], Tensor[], Tensor, Tensor)",
    reference=reference,
    fake=_fake,
)
