from __future__ import annotations

import torch

from graphkern.csr import CSR
from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.topk_scores import topk_scores


def _make(num_queries: int, num_items: int, depth: int, k: int, excluded: int | None = None):
    """Small integers: scores are exact, with many ties. excluded: edges of the exclusion graph."""

    def make(m: Maker) -> tuple[tuple, dict]:
        query, item = m.small_integers(num_queries, depth), m.small_integers(num_items, depth)
        exclude = None if excluded is None else m.graph(num_queries, num_items, excluded)
        return (query, item, k), {"exclude": exclude}

    return make


def _stored(num_queries: int, num_items: int, depth: int, k: int, dtype: torch.dtype):
    """Items of a narrower dtype, with a mask, a power of two as scale and an exclusion graph."""

    def make(m: Maker) -> tuple[tuple, dict]:
        item = m.small_integers(num_items, depth)
        options = {
            "exclude": m.graph(num_queries, num_items, 3 * num_queries),
            "item_mask": m.index(num_items, 4) > 0,
            "item_scale": 2.0 ** m.index(num_items, 3).float(),
        }
        return (m.small_integers(num_queries, depth), item.to(dtype), k), options

    return make


def _everything_excluded(m: Maker) -> tuple[tuple, dict]:
    dense = torch.ones(3, 7).nonzero().T.flip(0).int()
    exclude = CSR.from_edge_index(dense, 3, 7)
    query = m.small_integers(3, 4)
    return (query, m.small_integers(7, 4), 5), {"exclude": exclude.to(query.device)}


SUITE = Suite(
    function=topk_scores,
    ops=("topk_scores",),
    cases=(
        Case("tiny", _make(3, 5, 4, 2)),
        Case("excluded", _make(20, 30, 8, 10, excluded=200)),
        Case("nothing-excluded", _make(4, 6, 3, 6, excluded=0)),
        Case("everything-excluded", _everything_excluded),
        Case("one-item", _make(3, 1, 2, 1)),
        Case("all-items", _make(5, 40, 3, 40)),
        Case("many-items", _make(130, 2100, 9, 50, excluded=4000)),
        Case("int8", _stored(20, 300, 17, 25, torch.int8)),
        Case("large-k", _make(9, 1500, 5, 1000, excluded=4000)),
        Case("no-depth", _make(3, 5, 0, 4)),
        Case("no-queries", _make(0, 4, 3, 2)),
        Case("B2048-N8192-D64-k20", _make(2048, 8192, 64, 20, excluded=50_000), bench=True),
    ),
    differentiable=0,
    traffic=lambda out, query, item, k, **options: nbytes(query, item, *options.values(), *out),
    memory=(Case("memory", _make(2048, 30_000, 32, 20)), 24 << 20),
)
