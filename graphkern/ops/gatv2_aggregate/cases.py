from __future__ import annotations

from graphkern.ops._attention_cases import attention_suite
from graphkern.ops._case import Maker, nbytes
from graphkern.ops.gatv2_aggregate import gatv2_aggregate


def _make(rows: int, cols: int, edges: int, heads: int, depth: int, hub: int = 0, **options):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(rows, cols, edges, hub)
        att = m.normal(heads, depth) / depth**0.5
        return (adj, m.normal(cols, heads, depth), m.normal(rows, heads, depth), att), options

    return make


def _traffic(out, adj, x_src, x_dst, att, *options, **named) -> int:
    """A row of features an edge; graph, row features and result once."""
    return adj.num_edges * (x_src.nbytes // max(x_src.shape[0], 1)) + nbytes(adj, x_dst, att, out)


SUITE = attention_suite(gatv2_aggregate, _make, _traffic, {"negative_slope": 0.01})
