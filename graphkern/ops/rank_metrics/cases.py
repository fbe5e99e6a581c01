from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.rank_metrics import rank_metrics


def _make(num_users: int, num_items: int, depth: int, num_test: int, ks: tuple[int, ...], hub: int = 0):
    """Rows in no order with repeated items, some empty; lists with repeated items and places left empty."""

    def make(m: Maker) -> tuple[tuple, dict]:
        topk = m.index(num_users * depth, num_items + 1).long().view(num_users, depth) - 1
        return (topk, m.graph(num_users, num_items, num_test, hub), ks), {"per_user": True}

    return make


SUITE = Suite(
    function=rank_metrics,
    ops=("rank_metrics",),
    cases=(
        Case("tiny", _make(3, 6, 3, 30, (1, 3)), tiny=True),  # without NaN, which opcheck does not take for itself
        Case("short-rows", _make(300, 60, 20, 3000, (20, 5, 10))),
        Case("long-rows", _make(9, 2000, 300, 3000, (1, 64, 65, 300), hub=4000)),
        Case("long-lists", _make(20, 100, 1000, 200, (500, 999))),
        Case("only-the-first", _make(30, 10, 70, 100, (1,))),
        Case("many-threads", _make(5000, 500, 12, 20_000, (10,))),
        Case("one-item", _make(5, 1, 2, 4, (1, 2))),
        Case("no-test-items", _make(5, 7, 3, 0, (2,))),
        Case("no-users", _make(0, 7, 3, 0, (2,))),
    ),
    differentiable=0,
    traffic=lambda out, topk, test, ks, per_user: nbytes(topk, test, *out.values()),
    memory=(Case("memory", _make(100_000, 5000, 20, 1_000_000, (5, 10, 20))), 2 << 20),
)
