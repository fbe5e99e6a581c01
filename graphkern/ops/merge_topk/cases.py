from __future__ import annotations

import torch

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.merge_topk import merge_topk


def _make(num_rows: int, sizes: tuple[int, ...], k: int):
    """Small integers, with many ties; entries without a value, and without an index, occur."""

    def make(m: Maker) -> tuple[tuple, dict]:
        values, indices = [], []
        for size in sizes:
            value = m.small_integers(num_rows, size)
            values.append(value.masked_fill(value == -3, -torch.inf).masked_fill(value == 3, torch.nan))
            indices.append(m.index(num_rows * size, 10_000).long().view(num_rows, size) - 5)
        return (values, indices, k), {}

    return make


SUITE = Suite(
    function=merge_topk,
    ops=("merge_topk",),
    cases=(
        Case("tiny", _make(3, (2, 4), 3)),
        Case("one-list", _make(5, (30,), 7)),
        Case("many-lists", _make(40, (100, 1, 50, 0, 100, 33, 2, 9), 60)),
        Case("more-than-there-is", _make(4, (3, 5), 20)),
        Case("empty-lists", _make(4, (0, 0), 2)),
        Case("no-rows", _make(0, (4, 2), 3)),
        Case("B2048-S8-k100", _make(2048, (100,) * 8, 100), bench=True),
    ),
    differentiable=0,
    traffic=lambda out, values, indices, k: nbytes(*values, *indices, *out),
    memory=(Case("memory", _make(4096, (100,) * 8, 100)), 4 << 20),
)
