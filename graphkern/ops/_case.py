"""Named inputs: what the contract tests run and the benchmarks time, declared beside each op in its `cases.py`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from graphkern.csr import CSR


class Maker:
    """Makes the inputs of one case: the same values for a case name on every machine, in the dtypes asked for."""

    def __init__(self, name: str, dtype: torch.dtype, index_dtype: torch.dtype, device: str) -> None:
        self._generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        self._dtype, self._index_dtype, self._device = dtype, index_dtype, device

    def normal(self, *shape: int) -> Tensor:
        value = torch.randn(*shape, generator=self._generator, dtype=torch.float64)
        return value.to(self._device, self._dtype)

    def small_integers(self, *shape: int) -> Tensor:
        """Floating tensor of integers in [-3, 3]: sums of their products are exact in every dtype."""
        value = torch.randint(-3, 4, shape, generator=self._generator)
        return value.to(self._device, self._dtype)

    def index(self, size: int, high: int) -> Tensor:
        return torch.randint(0, max(high, 1), (size,), generator=self._generator).to(self._device, self._index_dtype)

    def given(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=self._index_dtype, device=self._device)

    def graph(self, num_rows: int, num_cols: int, num_edges: int, hub: int = 0) -> CSR:
        """Random edges, about half of them in a quarter of the rows and columns; parallel edges and empty rows occur.

        hub: so many more edges end in row 0.
        """
        row = (num_rows * torch.rand(num_edges, generator=self._generator).square()).long()
        column = (num_cols * torch.rand(num_edges, generator=self._generator).square()).long()
        if hub:
            row = torch.cat([row, torch.zeros(hub, dtype=torch.long)])
            column = torch.cat([column, torch.randint(0, num_cols, (hub,), generator=self._generator)])
        edge_index = torch.stack([column, row])[:, torch.randperm(row.shape[0], generator=self._generator)]
        return CSR.from_edge_index(edge_index.to(self._device, self._index_dtype), num_rows, num_cols)


@dataclass(frozen=True)
class Case:
    """One named input.

    make: Maker -> (positional arguments, keyword arguments) of the public function.
    tiny: small enough for finite differences.
    bench: large enough to time; the contract tests leave it out.
    """

    name: str
    make: Callable[[Maker], tuple[tuple, dict[str, Any]]]
    tiny: bool = False
    bench: bool = False

    def arguments(
        self, dtype: torch.dtype, index_dtype: torch.dtype = torch.int64, device: str = "cpu"
    ) -> tuple[tuple, dict[str, Any]]:
        return self.make(Maker(self.name, dtype, index_dtype, device))


@dataclass(frozen=True)
class Suite:
    """What the contract of one public function promises, for tests and benchmarks.

    ops: operators that a call and its gradients may use, the main one first.
    differentiable: how many times; 0 is never.
    static_shapes: the shapes of the results follow from the shapes of the inputs (torch.compile, torch.export).
    traffic: bytes that one forward call must move, given its arguments and result.
    memory: case whose peak extra memory is measured, and the most it may take beyond its results in bytes.
    """

    function: Callable
    ops: tuple[str, ...]
    cases: tuple[Case, ...]
    differentiable: int
    traffic: Callable[..., int]
    static_shapes: bool = True
    memory: tuple[Case, int] | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.function.__name__)


def suites() -> list[Suite]:
    """The suite of every op folder that declares one."""
    ops = importlib.import_module("graphkern.ops")
    folders = [f"graphkern.ops.{found.name}" for found in pkgutil.iter_modules(ops.__path__) if found.ispkg]
    names = [f"{folder}.cases" for folder in folders if importlib.util.find_spec(f"{folder}.cases")]
    return [importlib.import_module(name).SUITE for name in names]


def nbytes(*values: object) -> int:
    """Bytes of tensors and CSRs (indptr and indices), once each; other values count nothing."""
    total = 0
    for value in values:
        if isinstance(value, Tensor):
            total += value.nbytes
        elif isinstance(value, CSR):
            total += value.indptr.nbytes + value.indices.nbytes
    return total
