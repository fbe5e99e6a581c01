"""PyG looks for the packages when it is imported. Here it looks again, and who copied its answers gets the new ones."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator
from types import FunctionType, ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

import torch

from graphkern.compat import SURFACES

TYPING = "torch_geometric.typing"  # holds all that PyG finds: flags WITH_*, modules, classes, or stubs in their place

_stubs: dict[str, Any] = {}  # what the names of TYPING were bound to before enable
_outside: set[tuple[str, str]] = set()  # (module, name) not of PyG that held a stub until enable


def look_again(*, enabled: bool) -> None:
    """Bring the loaded torch_geometric, and who took names from its `typing`, to what can be imported now.

    Args:
        enabled: whether packages came (stubs are kept and replaced everywhere) or went (stubs come back: in PyG's
            modules, and where they were before).
    """
    pyg = sys.modules[TYPING]
    safe = set(torch.serialization.get_safe_globals())
    swap = {name: (vars(pyg)[name], new) for name, new in _found_now(pyg).items()}
    for name, (old, new) in swap.items():
        if enabled:
            _stubs[name] = old
        else:
            swap[name] = (old, _stubs.pop(name, new))
    if swap:
        _replace(swap, everywhere=enabled)
    # TYPING allows its classes in torch.load(weights_only=True): ours as long as they are enabled, those of the second
    # run never
    unsafe = [each for each in torch.serialization.get_safe_globals() if each not in safe and _made_by(pyg, each)]
    if not enabled:
        unsafe += [old for old, _ in swap.values() if isinstance(old, type)]
    with torch.serialization.safe_globals(unsafe):  # leaving it forgets them
        pass


def _found_now(pyg: ModuleType) -> dict[str, Any]:
    """Runs TYPING again, beside the loaded one -> the new values of names that differ, save what it defines itself."""
    spec = pyg.__spec__
    assert spec is not None
    assert spec.loader is not None
    second = importlib.util.module_from_spec(spec)
    blocked = [name for name in SURFACES if name not in sys.modules]  # or a real one might be imported by this
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # said when PyG was imported
            spec.loader.exec_module(second)
    finally:
        for name in blocked:
            del sys.modules[name]
    pairs = {name: (old, vars(second).get(name, old)) for name, old in vars(pyg).items() if not name.startswith("__")}
    remade = {id(new): old for old, new in pairs.values() if _made_by(pyg, old) and _made_by(pyg, new)}
    found = {name: _substitute(new, remade) for name, (_, new) in pairs.items()}  # unions too may hold what was remade
    return {name: new for name, new in found.items() if not (new is pairs[name][0] or new == pairs[name][0])}


def _made_by(pyg: ModuleType, value: Any) -> bool:
    return getattr(value, "__module__", None) == pyg.__name__


def _replace(swap: dict[str, tuple[Any, Any]], *, everywhere: bool) -> None:
    """Rebind what is bound to an old value of swap (name -> old, new), in PyG or everywhere.

    Flags, and `object` where a module is absent, are no one's own: they are rebound by name, in PyG alone.
    """
    common = {name: pair for name, pair in swap.items() if isinstance(pair[0], bool) or pair[0] is object}
    own = {id(old): new for name, (old, new) in swap.items() if name not in common}
    for module, holder in list(sys.modules.items()):
        names = getattr(holder, "__dict__", None)
        if not isinstance(names, dict):
            continue
        inside = touched = module.partition(".")[0] == "torch_geometric"
        for name, value in list(names.items()):
            if id(value) in own and (everywhere or inside or (module, name) in _outside):
                names[name] = own[id(value)]
                touched = True
                if not inside:
                    (_outside.add if everywhere else _outside.discard)((module, name))
            elif inside and name in common and value is common[name][0]:
                names[name] = common[name][1]
        if touched:
            for hints in _annotations(module, names):
                hints.update({name: _substitute(hint, own) for name, hint in hints.items()})


def _annotations(module: str, names: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of the functions, classes and methods that the module defines; TorchScript compiles by them."""
    own = [value for value in names.values() if getattr(value, "__module__", None) == module]
    classes = [value for value in own if isinstance(value, type)]
    members = [member for each in classes for member in vars(each).values()]
    for function in (*own, *members):
        if isinstance(function, FunctionType):
            yield function.__annotations__
    for each in classes:
        yield vars(each).get("__annotations__", {})


def _substitute(hint: Any, own: dict[int, Any]) -> Any:
    """The type hint with each part that is in own (by id) replaced."""
    if id(hint) in own:
        return own[id(hint)]
    parts = get_args(hint)
    new = tuple(_substitute(part, own) for part in parts)
    if all(a is b for a, b in zip(parts, new, strict=True)):
        return hint
    if get_origin(hint) in (Union, UnionType):
        return Union[new]  # noqa: UP007  # PyG's inspector knows no types.UnionType
    return hint.copy_with(new) if hasattr(hint, "copy_with") else get_origin(hint)[new]
