from __future__ import annotations

from torch import Tensor

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.bce_loss import bce_loss as op


def bce_loss(user: Tensor, item: Tensor, u: Tensor, i: Tensor, tenths: Tensor) -> Tensor:
    """Labels as integers: they get no gradient, and the tests ask for one of each floating argument."""
    return op(user, item, u, i, tenths.to(user.dtype) / 10)


def _make(num_users: int, num_items: int, depth: int, batch: int, scale: float = 1):
    def make(m: Maker) -> tuple[tuple, dict]:
        user, item = m.normal(num_users, depth) * scale / depth**0.5, m.normal(num_items, depth)
        return (user, item, m.index(batch, num_users), m.index(batch, num_items), m.index(batch, 11)), {}

    return make


def _rows(u: list[int], i: list[int], depth: int):
    def make(m: Maker) -> tuple[tuple, dict]:
        return (m.normal(5, depth), m.normal(7, depth), m.given(u), m.given(i), m.index(len(u), 11)), {}

    return make


SUITE = Suite(
    function=bce_loss,
    ops=("bce_loss", "pair_gradient"),
    cases=(
        Case("tiny", _make(4, 5, 3, 6), tiny=True),
        Case("tiny-duplicates", _rows([1, 1, 3, 1], [2, 2, 2, 6], 4), tiny=True),
        Case("one-row", _rows([2] * 40, [3] * 40, 9)),
        Case("one-user-one-item", _make(1, 1, 17, 50)),
        Case("no-pairs", _make(4, 5, 3, 0)),
        Case("no-depth", _make(4, 5, 0, 6)),
        Case("narrow", _make(30, 40, 1, 200)),
        Case("wide", _make(20, 30, 203, 100)),
        Case("sharp", _make(20, 30, 16, 300, scale=30)),
        Case("many", _make(300, 500, 33, 3000)),
        Case("gowalla-B2048-D64", _make(29_858, 40_981, 64, 2048), bench=True),
    ),
    differentiable=1,
    traffic=lambda out, user, item, u, i, label: nbytes(u, i, out) + 2 * u.shape[0] * user.shape[1] * user.itemsize,
    memory=(Case("memory", _make(2000, 3000, 256, 200_000)), 24 << 20),
)
