from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.info_nce import info_nce


def _make(
    num_queries: int, num_keys: int, depth: int, target: bool = True, bias: bool = False, temperature: float = 0.5
):
    def make(m: Maker) -> tuple[tuple, dict]:
        query, key = m.normal(num_queries, depth) / depth**0.5, m.normal(num_keys, depth)
        chosen = m.index(num_queries, num_keys) if target else None
        return (query, key, chosen, temperature, m.normal(num_keys) if bias else None), {}

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
        Case("no-queries", _make(0, 4, 3)),
        Case("B2048-K8192-D64", _make(2048, 8192, 64), bench=True),
    ),
    differentiable=1,
    traffic=lambda out, query, key, *rest: nbytes(query, key, out),
    memory=(Case("memory", _make(2048, 30_000, 32)), 48 << 20),
)
