"""Choosing who serves the ops, for tests and comparisons."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch

from graphkern._op import KEYS, NAMESPACE, OPS, Op


@contextlib.contextmanager
def use(implementation: str, *ops: str) -> Iterator[None]:
    """Serve ops by one implementation ("cpu", "cuda", "triton", "reference") for the length of a `with` block.

    Args:
        implementation: who shall serve.
        ops: operator names; none means every op for which the implementation is written.
    Raises: NotImplementedError with every reason why it cannot; ValueError for an unknown name.

    It holds for the whole process, so enter it from one thread at a time.
    """
    unknown = [name for name in ops if name not in OPS]
    if unknown:
        raise ValueError(f"unknown ops {unknown}: one of {sorted(OPS)}")
    chosen = [OPS[name] for name in ops or OPS]
    reasons = {op.name: op.missing(implementation) for op in chosen}
    if not ops:
        written = {name: reason for name, reason in reasons.items() if reason is None or "is written" not in reason}
        reasons = written or reasons
    refused = [f"{name}: {reason}" for name, reason in reasons.items() if reason is not None]
    if refused:
        raise NotImplementedError(f"{implementation} cannot serve " + "; ".join(refused))
    with contextlib.ExitStack() as stack:
        for name in reasons:
            stack.enter_context(_override(OPS[name], implementation))
        yield


@contextlib.contextmanager
def _override(op: Op, implementation: str) -> Iterator[None]:
    previous = dict(op.override)
    with torch.library._scoped_library(NAMESPACE, "IMPL") as library, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Warning only once for all operators")  # overriding is what is meant
        for device in op.devices(implementation):
            if op.active(device) == implementation:
                continue
            if implementation in KEYS:
                raise NotImplementedError(f"{op.name}: use({implementation!r}) inside use({op.active(device)!r})")
            library.impl(op.name, op.implementation(implementation), KEYS[device], allow_override=True)
            op.override[device] = implementation
        try:
            yield
        finally:
            op.override = previous
