"""What was computed from tensors, kept for as long as they live and are not written to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar
from weakref import ref

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

T = TypeVar("T")


class _Entry(NamedTuple):
    others: tuple[ref, ...]
    versions: tuple[int, ...]
    value: Any

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        same = all(other() is tensor for other, tensor in zip(self.others, tensors[1:], strict=True))
        return same and self.versions == _versions(tensors)


_entries: WeakIdKeyDictionary = WeakIdKeyDictionary()  # first tensor -> {key: _Entry}


def kept_with(tensors: Sequence[Tensor], key: Hashable, build: Callable[[], T]) -> T:
    """build(), or what it returned when these very tensors, unchanged since, came with the same key.

    build runs outside of inference mode and without gradients, as what an evaluation built must serve training too.
    What it returns must not hold the tensor objects themselves, or they never die: their ``detach()`` shares the memory
    and does not count. Nothing is kept in a compiled graph, which makes it anew, nor with inference tensors, which have
    no version, so that a write to them would not be seen.

    Args:
        tensors: at least one; the entry ends with the first of them.
        key: what else build depends on, beginning with a name of the caller's own.
    """
    if torch.compiler.is_compiling() or any(tensor.is_inference() for tensor in tensors):
        return build()
    entries = _entries.setdefault(tensors[0], {})
    found = entries.get(key)
    if found is None or not found.fits(tensors):
        with torch.inference_mode(False), torch.no_grad():
            found = entries[key] = _Entry(tuple(map(ref, tensors[1:])), _versions(tensors), build())
    return found.value


def _versions(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(tensor._version for tensor in tensors)
