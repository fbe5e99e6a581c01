"""The named inputs that the attention aggregates share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphkern.ops._case import Case, Suite


def attention_suite(
    function: Callable, make: Callable, traffic: Callable[..., int], narrow: dict[str, Any], *extra: Case
) -> Suite:
    """The suite of an aggregate.

    make: (rows, columns, edges, heads, depth, hub=0, **options of the function) -> Case.make.
    narrow: options of a case with many narrow heads. extra: cases of this function alone.
    """
    name = function.__name__
    return Suite(
        function=function,
        ops=(name, f"{name}_backward", "counting_sort"),
        cases=(
            Case("tiny", make(5, 6, 14, 1, 3), tiny=True),
            Case("tiny-heads", make(5, 6, 14, 3, 2, dropout_p=0.3, seed=5), tiny=True),
            Case("hub", make(40, 30, 300, 4, 16, hub=5000)),
            Case("hub-dropout", make(40, 30, 300, 1, 9, hub=5000, dropout_p=0.6, seed=-7)),
            Case("hub-source", make(3000, 3, 8000, 2, 8, dropout_p=0.1)),
            Case("power-law", make(300, 200, 3000, 1, 70)),
            Case("power-law-heads", make(200, 300, 2000, 8, 9, dropout_p=0.5, seed=2**40)),
            Case("power-law-narrow", make(200, 300, 2000, 16, 3, **narrow)),
            Case("one-feature", make(60, 50, 500, 5, 1)),
            Case("wide", make(50, 40, 400, 4, 64)),
            Case("no-edges", make(4, 3, 0, 2, 5)),
            Case("no-rows", make(0, 3, 0, 2, 4)),
            *extra,
            Case("uniform-50k-x15-H4-D16", make(50_000, 50_000, 750_000, 4, 16), bench=True),
            Case("uniform-50k-x15-H8-D8-dropout", make(50_000, 50_000, 750_000, 8, 8, dropout_p=0.5), bench=True),
            Case("uniform-50k-x15-H1-D64", make(50_000, 50_000, 750_000, 1, 64), bench=True),
        ),
        differentiable=1,
        traffic=traffic,
        memory=(Case("memory", make(10_000, 10_000, 1_000_000, 4, 16)), 8 << 20),
    )
