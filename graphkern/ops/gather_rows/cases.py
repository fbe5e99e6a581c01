from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops._case import Case, Maker, Suite
from graphkern.ops.gather_rows import gather_rows


def _cached(m: Maker, x: Tensor, index: Tensor, hot_share: float) -> tuple[tuple, dict]:
    """Some of the rows of x are hot, in no order; their copies differ from them, so that it shows which was read."""
    num_rows = x.shape[0]
    rows = m.normal(num_rows).argsort()[: int(hot_share * num_rows)]
    slot = torch.full((num_rows,), -1, dtype=torch.int32, device=x.device)
    slot[rows] = torch.arange(rows.shape[0], dtype=torch.int32, device=x.device)
    return (x, index), {"hot": x[rows] + 1, "slot": slot}


def _make(num_rows: int, num_taken: int, *features: int, hot_share: float | None = None):
    def make(m: Maker) -> tuple[tuple, dict]:
        x, index = m.normal(num_rows, *features), m.index(num_taken, num_rows)
        return ((x, index), {}) if hot_share is None else _cached(m, x, index, hot_share)

    return make


def _bytes(num_rows: int, num_taken: int, features: int):
    def make(m: Maker) -> tuple[tuple, dict]:
        x = m.index(num_rows * features, 200).view(num_rows, features).to(torch.int8)
        return _cached(m, x, m.index(num_taken, num_rows), 0.5)

    return make


def _traffic(out: Tensor, x: Tensor, index: Tensor, **cache: Tensor) -> int:
    return 2 * out.nbytes + index.nbytes + (index.shape[0] * 4 if cache else 0)


SUITE = Suite(
    function=gather_rows,
    ops=("gather_rows",),
    cases=(
        Case("tiny", _make(6, 9, 3, hot_share=0.5), tiny=True),
        Case("uncached", _make(40, 300, 64)),
        Case("cached", _make(300, 500, 64, hot_share=0.3)),
        Case("all-hot", _make(50, 300, 20, hot_share=1.0)),
        Case("none-hot", _make(50, 100, 16, hot_share=0.0)),
        Case("wide", _make(30, 40, 301, hot_share=0.3)),
        Case("wide-aligned", _make(30, 40, 320, hot_share=0.3)),
        Case("labels", _make(100, 200, hot_share=0.2)),
        Case("blocks", _make(20, 60, 4, 9, hot_share=0.5)),
        Case("bytes", _bytes(60, 200, 64)),
        Case("odd-bytes", _bytes(60, 200, 133)),
        Case("many", _make(1000, 6000, 24, hot_share=0.1)),
        Case("nothing-taken", _make(5, 0, 4, hot_share=0.5)),
        Case("no-rows", _make(0, 0, 4, hot_share=0.5)),
        Case("no-features", _make(5, 7, 0, hot_share=0.5)),
        Case("100k-of-1M-F128", _make(1_000_000, 100_000, 128, hot_share=0.1), bench=True),
    ),
    differentiable=0,
    traffic=_traffic,
    memory=(Case("memory", _make(20_000, 200_000, 64, hot_share=0.5)), 4 << 20),
)
