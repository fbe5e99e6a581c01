from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
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


SUITE = Suite(
    function=gatv2_aggregate,
    ops=("gatv2_aggregate", "gatv2_aggregate_backward", "counting_sort"),
    cases=(
        Case("tiny", _make(5, 6, 14, 1, 3), tiny=True),
        Case("tiny-heads", _make(5, 6, 14, 3, 2, dropout_p=0.3, seed=5), tiny=True),
        Case("hub", _make(40, 30, 300, 4, 16, hub=5000)),
        Case("hub-dropout", _make(40, 30, 300, 1, 9, hub=5000, dropout_p=0.6, seed=-7)),
        Case("hub-source", _make(9000, 3, 20_000, 2, 8, dropout_p=0.1)),
        Case("power-law", _make(300, 200, 3000, 1, 70)),
        Case("power-law-heads", _make(200, 300, 2000, 8, 9, dropout_p=0.5, seed=2**40)),
        Case("power-law-narrow", _make(200, 300, 2000, 16, 3, negative_slope=0.01)),
        Case("one-feature", _make(60, 50, 500, 5, 1)),
        Case("wide", _make(50, 40, 400, 4, 64)),
        Case("no-edges", _make(4, 3, 0, 2, 5)),
        Case("no-rows", _make(0, 3, 0, 2, 4)),
        Case("uniform-50k-x15-H4-D16", _make(50_000, 50_000, 750_000, 4, 16), bench=True),
        Case("uniform-50k-x15-H8-D8-dropout", _make(50_000, 50_000, 750_000, 8, 8, dropout_p=0.5), bench=True),
        Case("uniform-50k-x15-H1-D64", _make(50_000, 50_000, 750_000, 1, 64), bench=True),
    ),
    differentiable=1,
    traffic=_traffic,
    memory=(Case("memory", _make(10_000, 10_000, 1_000_000, 4, 16)), 8 << 20),
)
