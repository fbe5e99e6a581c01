from __future__ import annotations

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.bpr_loss import bpr_loss


def _make(num_users: int, num_items: int, depth: int, batch: int, scale: float = 1):
    def make(m: Maker) -> tuple[tuple, dict]:
        user, item = m.normal(num_users, depth) * scale / depth**0.5, m.normal(num_items, depth)
        return (user, item, m.index(batch, num_users), m.index(batch, num_items), m.index(batch, num_items)), {}

    return make


def _rows(u: list[int], i: list[int], j: list[int], depth: int):
    def make(m: Maker) -> tuple[tuple, dict]:
        return (m.normal(5, depth), m.normal(7, depth), m.given(u), m.given(i), m.given(j)), {}

    return make


SUITE = Suite(
    function=bpr_loss,
    ops=("bpr_loss", "pair_gradient"),
    cases=(
        Case("tiny", _make(4, 5, 3, 6), tiny=True),
        Case("tiny-duplicates", _rows([1, 1, 3, 1], [2, 2, 2, 6], [0, 2, 0, 2], 4), tiny=True),
        Case("one-row", _rows([2] * 40, [3] * 40, [4] * 40, 9)),
        Case("same-items", _rows([0, 1, 2], [3, 3, 3], [3, 3, 3], 5)),
        Case("one-user-one-item", _make(1, 1, 17, 50)),
        Case("no-triples", _make(4, 5, 3, 0)),
        Case("no-depth", _make(4, 5, 0, 6)),
        Case("narrow", _make(30, 40, 1, 200)),
        Case("wide", _make(20, 30, 203, 100)),
        Case("sharp", _make(20, 30, 16, 300, scale=30)),
        Case("many", _make(300, 500, 33, 3000)),
        Case("many-rows", _make(70_000, 5000, 8, 4000)),
        Case("gowalla-B2048-D64", _make(29_858, 40_981, 64, 2048), bench=True),
    ),
    differentiable=1,
    traffic=lambda out, user, item, u, i, j: nbytes(u, i, j, out) + 3 * u.shape[0] * user.shape[1] * user.itemsize,
    memory=(Case("memory", _make(2000, 3000, 256, 200_000)), 24 << 20),
)
