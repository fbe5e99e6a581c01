"""torch_scatter, torch_sparse and pyg_lib served by our ops, and PyG made to use them.

    from graphkern import compat

    compat.enable()            # before or after `import torch_geometric`
    import torch_scatter       # graphkern.compat.torch_scatter

`python -m graphkern.compat --check` says what is served here and tries it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from contextlib import ExitStack
from types import ModuleType

SURFACES = ("torch_scatter", "torch_sparse", "pyg_lib")
__all__ = ["SURFACES", "disable", "enable"]

# surface -> what stood in sys.modules under the names that enable took, of those that were taken
_enabled: dict[str, dict[str, ModuleType | None]] = {}


def enable(*names: str) -> ExitStack:
    """Serve the import names of torch_scatter, torch_sparse and pyg_lib where the real package is absent.

    The packages of graphkern.compat and their submodules go into sys.modules under the real names, their operators
    (torch.ops.torch_sparse and so on) are registered, and PyG uses them as it would use the real ones, whether it is
    imported before or after. Nothing happens to a name that is enabled already.

    Args:
        names: surfaces to serve; none means all three.
    Returns: a context that disables again, on leaving, what this call enabled: `with compat.enable(): ...`. Without
        `with`, it stays.
    Raises: RuntimeError, with nothing changed, where a real package is installed or loaded; ValueError for an unknown
        name.
    Cost: the imports; where PyG is loaded, one pass over the names of all loaded modules (tens of ms).

    It holds for the whole process, so call it from one thread. A process that is started by "spawn" (DataLoader's
    multiprocessing_context) begins without it: call it there again, in worker_init_fn.
    """
    chosen = _known(names)
    refused = [reason for name in chosen if (reason := _refusal(name))]
    if refused:
        raise RuntimeError("; ".join(refused) + ": only an absent package is served")
    fresh = [name for name in chosen if name not in _enabled]
    with ExitStack() as undo:
        undo.callback(_tell_pyg, enabled=False)
        for name in fresh:
            undo.callback(_take_back, name)
            _put(name)
        _tell_pyg(enabled=True)
        return undo.pop_all()


def disable(*names: str) -> None:
    """Take back what enable put in place: import names, operators, and PyG's view of them.

    Args:
        names: surfaces; none means all three. Those that are not enabled are left alone.
    Raises: ValueError for an unknown name.

    A module that imported one of the packages meanwhile keeps it. An operator that is held, in a variable or by
    compiled TorchScript, raises NotImplementedError. Their schemas stay known, so that the compiled package itself can
    no longer be imported in this process.
    """
    chosen = [name for name in _known(names) if name in _enabled]
    for name in chosen:
        _take_back(name)
    if chosen:
        _tell_pyg(enabled=False)


def _known(names: tuple[str, ...]) -> list[str]:
    unknown = [name for name in names if name not in SURFACES]
    if unknown:
        raise ValueError(f"unknown packages {unknown}: one of {list(SURFACES)}")
    return list(dict.fromkeys(names or SURFACES))


def _refusal(name: str) -> str | None:
    """Where the real package is; None where it is absent or ours stands in its place."""
    if name in sys.modules:
        module = sys.modules[name]
        if module is None or module is sys.modules.get(f"{__name__}.{name}"):
            return None
        version = getattr(module, "__version__", "of unknown version")
        return f"{name} {version} is loaded ({getattr(module, '__file__', None)})"
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:  # a folder without __init__.py is no package to refuse for
        return None
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    return f"{name} {version} is installed ({spec.origin})"


def _put(name: str) -> None:
    modules = _modules(name)
    _enabled[name] = {key: sys.modules[key] for key in modules if key in sys.modules}
    sys.modules.update(modules)
    _package(name).register()


def _take_back(name: str) -> None:
    if name not in _enabled:
        return
    before = _enabled.pop(name)
    for key, module in _modules(name).items():
        if sys.modules.get(key) is module:
            del sys.modules[key]
    sys.modules.update(before)  # type: ignore[arg-type]  # None blocks an import
    _package(name).unregister()


def _package(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def _modules(name: str) -> dict[str, ModuleType]:
    """The package and all of its submodules by real import name. All, or Python would load one a second time."""
    package = _package(name)
    inner = [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return {key.removeprefix(f"{__name__}."): importlib.import_module(key) for key in [package.__name__, *inner]}


def _tell_pyg(*, enabled: bool) -> None:
    if "torch_geometric.typing" in sys.modules:
        from graphkern.compat import _pyg

        _pyg.look_again(enabled=enabled)
