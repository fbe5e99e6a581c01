from __future__ import annotations

from typing import Any

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.info_nce import info_nce


def _make(
    num_queries: int,
    num_keys: int,
    depth: int,
    *,
    target: bool = True,
    bias: bool = False,
    temperature: float = 0.5,
    ids: int = 0,
    symmetric: bool = False,
):
    """ids: keys stand for so many items, by chance; 0 gives no ids."""

    def make(m: Maker) -> tuple[tuple, dict]:
        query, key = m.normal(num_queries, depth) / depth**0.5, m.normal(num_keys, depth)
        chosen = m.index(num_queries, num_keys) if target else None
        options: dict[str, Any] = {"symmetric": True} if symmetric else {}
        options |= {"key_id": m.index(num_keys, ids)} if ids else {}
        return (query, key, chosen, temperature, m.normal(num_keys) if bias else None), options

    return make


def _several(num_queries: int, num_keys: int, depth: int, num_positives: int, ids: int = 0):
    """Queries with several positives; some have none, some the same twice."""

    def make(m: Maker) -> tuple[tuple, dict]:
        query, key = m.normal(num_queries, depth) / depth**0.5, m.normal(num_keys, depth)
        options = {"key_id": m.index(num_keys, ids) if ids else None}
        return (query, key, m.graph(num_queries, num_keys, num_positives), 0.5), options

    return make


SUITE = Suite(
    function=info_nce,
    ops=("info_nce", "info_nce_backward"),
    cases=(
        Case("tiny", _make(3, 5, 4), tiny=True),
        Case("tiny-bias", _make(4, 3, 2, bias=True), tiny=True),
        Case("diagonal", _make(40, 50, 16, target=False)),
        Case("one-key", _make(5, 1, 3)),
        Case("many-keys", _make(130, 2100, 33, bias=True)),
        Case("many-queries", _make(1100, 130, 8)),
        Case("sharp", _make(20, 30, 8, temperature=0.02)),
        Case("tiny-ids", _make(4, 6, 3, ids=3, bias=True), tiny=True),
        Case("tiny-symmetric", _make(4, 4, 3, target=False, symmetric=True), tiny=True),
        Case("tiny-several", _several(4, 6, 3, 9, ids=4), tiny=True),
        Case("all-one-id", _make(9, 40, 5, ids=1)),
        Case("symmetric", _make(70, 70, 16, target=False, symmetric=True, bias=True, ids=30)),
        Case("symmetric-tiles", _make(1100, 1100, 9, target=False, symmetric=True)),
        Case("symmetric-one", _make(1, 1, 3, target=False, symmetric=True)),
        Case("several", _several(130, 1500, 9, 700)),
        Case("several-ids", _several(70, 1100, 8, 600, ids=300)),
        Case("no-queries", _make(0, 4, 3)),
        Case("B2048-K8192-D64", _make(2048, 8192, 64), bench=True),
    ),
    differentiable=1,
    traffic=lambda out, query, key, *rest, **options: nbytes(query, key, out),
    memory=(Case("memory", _make(2048, 30_000, 32)), 48 << 20),
)
