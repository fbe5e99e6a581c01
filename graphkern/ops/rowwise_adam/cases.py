from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops._case import Case, Maker, Suite, nbytes
from graphkern.ops.rowwise_adam import ROWWISE_ADAGRAD, ROWWISE_ADAM


def rowwise_adam(
    param: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, indices: Tensor, values: Tensor, maximize: bool = False
) -> tuple[Tensor, ...]:
    """The tables after a step of each optimizer, Adagrad's sum from exp_avg_sq; the arguments stay as they are."""
    param, exp_avg, exp_avg_sq = param.contiguous(), exp_avg.contiguous(), exp_avg_sq.contiguous()
    adam = param.clone(), exp_avg.clone(), exp_avg_sq.square()
    ROWWISE_ADAM(*adam, indices, values, 0.1, 0.9, 0.999, 0.5, maximize)
    adagrad = param.clone(), exp_avg_sq.square()
    ROWWISE_ADAGRAD(*adagrad, indices, values, 0.1, 0.5, maximize)
    return *adam, *adagrad


def _make(num_rows: int, depth: int, named: int, maximize: bool = False):
    def make(m: Maker) -> tuple[tuple, dict]:
        tables = [m.small_integers(num_rows, depth) for _ in range(3)]
        indices = m.index(named, num_rows)[None].to(torch.int64)  # as sparse tensors have them
        return (*tables, indices, m.small_integers(named, depth), maximize), {}

    return make


SUITE = Suite(
    function=rowwise_adam,
    ops=("rowwise_adam", "rowwise_adagrad"),
    cases=(
        Case("tiny", _make(5, 3, 4)),
        Case("named-twice", _make(6, 8, 40)),
        Case("maximize", _make(50, 33, 30, maximize=True)),
        Case("wide", _make(20, 300, 9)),
        Case("nothing", _make(5, 4, 0)),
        Case("many", _make(5000, 16, 1500)),
    ),
    differentiable=0,
    traffic=lambda out, *args: nbytes(*out),
)
