from __future__ import annotations

import torch

from graphkern.csr import CSR
from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.sample_negatives import sample_negatives


def _make(num_rows: int, num_cols: int, num_edges: int, num_draws: int, num: int, hub: int = 0):
    def make(m: Maker) -> tuple[tuple, dict]:
        adj = m.graph(num_rows, num_cols, num_edges, hub)
        return (adj, m.index(num_draws, num_rows), num), {"seed": 3 * num - 2**62}

    return make


def _almost_full(m: Maker) -> tuple[tuple, dict]:
    """Every row lacks one column, and lists the others in no order, some twice."""
    rows = []
    for row in range(8):
        columns = m.index(8, 99)
        rows.append(torch.cat([torch.arange(99).to(columns)[torch.arange(99) != 11 * row].flip(0), columns]))
        rows[-1] = rows[-1][rows[-1] != 11 * row]
    sizes = [0, *(row.shape[0] for row in rows)]
    return (CSR(m.given(sizes).cumsum(0).to(rows[0].dtype), torch.cat(rows), 99), m.given([7, 3, 3, 0]), 5), {}


def _without_sets(m: Maker) -> tuple[tuple, dict]:
    """As while compiling: rows in no order, with repeated columns."""
    adj = m.graph(12, 900, 300, 500)
    adj.derived["column_sets"] = None
    return (adj, m.index(7, 12), 30), {"seed": 5}


SUITE = Suite(
    function=sample_negatives,
    ops=("sample_negatives",),
    cases=(
        Case("unsorted", _make(20, 40, 150, 30, 5)),
        Case("one", _make(300, 200, 3000, 100, 1)),
        Case("hub", _make(20, 5000, 100, 9, 70, hub=4000)),
        Case("almost-full", _almost_full),
        Case("without-sets", _without_sets),
        Case("many-threads", _make(300, 500, 3000, 500, 9)),
        Case("no-edges", _make(5, 7, 0, 6, 3)),
        Case("no-draws", _make(5, 7, 10, 6, 0)),
        Case("no-rows", _make(5, 7, 10, 0, 3)),
        Case("R100k-1", _make(100_000, 50_000, 2_000_000, 100_000, 1), bench=True),
        Case("R4096-64", _make(100_000, 50_000, 2_000_000, 4096, 64), bench=True),
    ),
    differentiable=0,
    traffic=lambda out, adj, rows, num, **more: nbytes(out, rows) + 2 * nbytes(rows),
)
