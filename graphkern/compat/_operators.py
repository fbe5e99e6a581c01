"""Operators under another package's namespace, that come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch.library import Library


class Operator(NamedTuple):
    """schema: with the name in front. key: CompositeImplicitAutograd where the function is made of operators that have
    gradients, CompositeExplicitAutograd where it has none; both serve calls whose only tensors are in a Dict."""

    schema: str
    function: Callable
    key: str = "CompositeImplicitAutograd"


class Operators:
    """The operators torch.ops.<namespace>.*: there from register() to unregister().

    Definitions stay once they are made, as compiled TorchScript and whoever holds an operator point to them: what goes
    are the implementations, and a call then raises NotImplementedError.

    Args:
        operators: called when they are first registered.
        alias_analysis: "CONSERVATIVE" where a schema does not say what is written.
    """

    def __init__(self, namespace: str, operators: Callable[[], Iterable[Operator]], alias_analysis: str = "") -> None:
        self._namespace = namespace
        self._operators = operators
        self._alias_analysis = alias_analysis
        self._definitions: Library | None = None
        self._implementations: Library | None = None
        self._stays = False

    def register(self) -> None:
        """Nothing where it is done. Raises: RuntimeError where another library defined one of them."""
        if self._implementations is not None:
            return
        operators = list(self._operators())
        if self._definitions is None:
            self._define(operators)
        self._implementations = Library(self._namespace, "IMPL")
        for operator in operators:
            self._implementations.impl(operator.schema.partition("(")[0], operator.function, operator.key)

    def unregister(self) -> None:
        """Nothing where they are not registered, or are to stay."""
        if self._implementations is not None and not self._stays:
            self._implementations._destroy()
            self._implementations = None

    def stay(self) -> None:
        """Register, and ignore unregister from now on: for what must outlive it."""
        self.register()
        self._stays = True

    def _define(self, operators: list[Operator]) -> None:
        known = set(torch._C._dispatch_get_all_op_names())
        names = [f"{self._namespace}::{operator.schema.partition('(')[0]}" for operator in operators]
        taken = [name for name in names if name in known]
        if taken:
            raise RuntimeError(f"{taken[0]} is defined already: the real package is loaded")
        self._definitions = Library(self._namespace, "FRAGMENT")
        for operator in operators:
            self._definitions.define(operator.schema, alias_analysis=self._alias_analysis)
