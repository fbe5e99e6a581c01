"""torch.ops.torch_scatter: the operators that TorchScript and other people's code call by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from graphkern.compat._operators import Operator, Operators

F = TypeVar("F", bound=Callable)

_ONE, _WITH_ARG = "Tensor _0", "(Tensor _0, Tensor _1)"
_SCATTER = "(Tensor _0, Tensor _1, int _2, Tensor? _3, int? _4)"
_COO = "(Tensor _0, Tensor _1, Tensor? _2, int? _3)"
_CSR = "(Tensor _0, Tensor _1, Tensor? _2)"
_SCHEMAS: dict[str, dict[str, str]] = {  # module -> name -> schema, which must be that of the compiled package
    "scatter": {
        **{f"scatter_{reduce}": f"{_SCATTER} -> {_ONE}" for reduce in ("sum", "mul", "mean")},
        **{f"scatter_{reduce}": f"{_SCATTER} -> {_WITH_ARG}" for reduce in ("min", "max")},
    },
    "segment_coo": {
        **{f"segment_{reduce}_coo": f"{_COO} -> {_ONE}" for reduce in ("sum", "mean")},
        **{f"segment_{reduce}_coo": f"{_COO} -> {_WITH_ARG}" for reduce in ("min", "max")},
        "gather_coo": f"{_CSR} -> {_ONE}",
    },
    "segment_csr": {
        **{f"segment_{reduce}_csr": f"{_CSR} -> {_ONE}" for reduce in ("sum", "mean")},
        **{f"segment_{reduce}_csr": f"{_CSR} -> {_WITH_ARG}" for reduce in ("min", "max")},
        "gather_csr": f"{_CSR} -> {_ONE}",
    },
}


def _operators() -> Iterator[Operator]:
    yield Operator("cuda_version() -> int _0", lambda: -1)
    for module, schemas in _SCHEMAS.items():
        functions = importlib.import_module(f"graphkern.compat.torch_scatter.{module}")
        for name, schema in schemas.items():
            yield Operator(name + schema, getattr(functions, name))


# no schema says that out is written
OPERATORS = Operators("torch_scatter", _operators, "CONSERVATIVE")
register, unregister = OPERATORS.register, OPERATORS.unregister


def scriptable(function: F) -> F:
    """A function that torch.jit.script compiles to the operators: then they are registered, and stay."""

    def prepare() -> F:
        OPERATORS.stay()
        return function

    function.__prepare_scriptable__ = prepare  # type: ignore[attr-defined]
    return function
