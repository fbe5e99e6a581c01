"""torch.ops.torch_scatter: the operators that TorchScript and other people's code call by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TypeVar

import torch

F = TypeVar("F", bound=Callable)

_ONE, _WITH_ARG = "Tensor _0", "(Tensor _0, Tensor _1)"
_SCATTER = "(Tensor _0, Tensor _1, int _2, Tensor? _3, int? _4)"
_COO = "(Tensor _0, Tensor _1, Tensor? _2, int? _3)"
_CSR = "(Tensor _0, Tensor _1, Tensor? _2)"
_OPERATORS: dict[str, dict[str, str]] = {  # module -> name -> schema, which must be that of the compiled package
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


class _State:
    library: torch.library.Library | None = None
    scripted = False  # TorchScript has compiled a function of this package


def register() -> torch.library.Library:
    """Define the operators of torch.ops.torch_scatter; nothing where that is done.

    They are the functions of this package: gradients, torch.compile and TorchScript go through them.

    Returns: what holds them; `unregister` takes it.
    Raises: RuntimeError if the compiled torch_scatter has defined them already.
    """
    if _State.library is None:
        library = torch.library.Library("torch_scatter", "FRAGMENT")
        library.define("cuda_version() -> int _0", alias_analysis="CONSERVATIVE")
        library.impl("cuda_version", lambda: -1, "CompositeImplicitAutograd")
        for module, schemas in _OPERATORS.items():
            functions = importlib.import_module(f"graphkern.compat.torch_scatter.{module}")
            for name, schema in schemas.items():
                library.define(name + schema, alias_analysis="CONSERVATIVE")  # no schema says that out is written
                library.impl(name, getattr(functions, name), "CompositeImplicitAutograd")
        _State.library = library
    return _State.library


def unregister(library: torch.library.Library | None = None) -> None:
    """Take away what `register` defined; nothing where there is nothing.

    Once TorchScript has compiled a function of this package the operators stay: compiled code points to them.
    """
    if _State.library is not None and not _State.scripted and library in (None, _State.library):
        _State.library._destroy()
        _State.library = None


def scriptable(function: F) -> F:
    """A function that torch.jit.script compiles to the operators, which are registered when it is first asked to."""

    def prepare() -> F:
        register()
        _State.scripted = True
        return function

    function.__prepare_scriptable__ = prepare  # type: ignore[attr-defined]
    return function
