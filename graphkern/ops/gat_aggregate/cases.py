from __future__ import annotations

from graphkern.ops._attention_cases import attention_suite
from graphkern.ops._case import Case, Maker, nbytes
from graphkern.ops.gat_aggregate import gat_aggregate


def _make(rows: int, cols: int, edges: int, heads: int, depth: int, hub: int = 0, edge_scores: bool = False, **options):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(rows, cols, edges, hub)
        values = m.normal(cols, heads, depth), m.normal(cols, heads), m.normal(rows, heads)
        extra = {"alpha_edge": m.normal(adj.num_edges, heads)} if edge_scores else {}
        return (adj, *values), {**options, **extra}

    return make


def _traffic(out, adj, x, alpha_src, alpha_dst, *options, alpha_edge=None, **named) -> int:
    """A row of features and scores an edge; graph, row scores and result once."""
    row = (x.nbytes + alpha_src.nbytes) // max(x.shape[0], 1)
    return adj.num_edges * row + nbytes(adj, alpha_dst, alpha_edge, out)


SUITE = attention_suite(
    gat_aggregate,
    _make,
    _traffic,
    {"negative_slope": 0.01},
    Case("tiny-edge-scores", _make(5, 6, 12, 2, 2, edge_scores=True), tiny=True),
    Case("power-law-edge-scores", _make(200, 300, 2000, 4, 8, edge_scores=True, dropout_p=0.2)),
)
