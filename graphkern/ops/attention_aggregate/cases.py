from __future__ import annotations

from graphkern.ops._attention_cases import attention_suite
from graphkern.ops._case import Maker, nbytes
from graphkern.ops.attention_aggregate import attention_aggregate


def _make(rows: int, cols: int, edges: int, heads: int, depth: int, hub: int = 0, **options):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(rows, cols, edges, hub)
        return (adj, m.normal(rows, heads, depth), m.normal(cols, heads, depth), m.normal(cols, heads, depth)), options

    return make


def _traffic(out, adj, q, k, v, *options, **named) -> int:
    """A row of keys and of values an edge; graph, queries and result once."""
    return adj.num_edges * ((k.nbytes + v.nbytes) // max(k.shape[0], 1)) + nbytes(adj, q, out)


SUITE = attention_suite(attention_aggregate, _make, _traffic, {"scale": 0.1})
