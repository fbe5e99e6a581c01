from __future__ import annotations

from torch import Tensor

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops._dtype import accumulate_dtype
from graphkern.ops.pair_gradient import PAIR_GRADIENT_ROWS


def pair_gradient_rows(
    grad: Tensor, slope: Tensor, user: Tensor, item: Tensor, u: Tensor, i: Tensor, j: Tensor | None, items: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return PAIR_GRADIENT_ROWS(grad, slope.to(accumulate_dtype(user.dtype)), user, item, u, i, j, True, items)


def _make(num_users: int, num_items: int, depth: int, batch: int, pairs: bool = True, items: bool = True):
    def make(m: Maker) -> tuple[tuple, dict]:
        u, i, j = (m.index(batch, count) for count in (num_users, num_items, num_items))
        tables = m.small_integers(num_users, depth), m.small_integers(num_items, depth)
        return (m.small_integers(batch), m.small_integers(batch), *tables, u, i, j if pairs else None, items), {}

    return make


SUITE = Suite(
    function=pair_gradient_rows,
    ops=("pair_gradient_rows",),
    cases=(
        Case("tiny", _make(4, 5, 3, 6)),
        Case("one-item-a-user", _make(30, 40, 8, 200, pairs=False)),
        Case("users-only", _make(30, 40, 8, 200, items=False)),
        Case("one-row", _make(1, 2, 17, 50)),
        Case("nothing", _make(4, 5, 3, 0)),
        Case("no-depth", _make(4, 5, 0, 6)),
        Case("many-rows", _make(70_000, 5000, 9, 2000)),
    ),
    differentiable=0,
    traffic=lambda out, *args: nbytes(*out),
    static_shapes=False,
)
