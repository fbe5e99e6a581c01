"""Inputs on the device, the same in every run there: graphs by name, random values by the name of a row."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkern import CSR

from .. import graphs

UNIFORM, LARGE, RMAT, STAR = "uniform-200k-x20", "uniform-1M-x16", "rmat-512k-8M", "star-200k-1M"
SHOP, HUGE = "rmat-70k-1M", "rmat-10M-100M"


@functools.lru_cache(maxsize=8)
def _graph(name: str, device: str, small: bool) -> CSR:
    adj = {
        UNIFORM: lambda: graphs.uniform(*(60, 8) if small else (200_000, 20), device),
        LARGE: lambda: graphs.uniform(*(80, 8) if small else (1_000_000, 16), device),
        RMAT: lambda: graphs.rmat(*(64, 400) if small else (1 << 19, 8_000_000), device),
        STAR: lambda: graphs.star(*(40, 200) if small else (200_000, 1_000_000), device),
        SHOP: lambda: graphs.rmat(*(50, 300) if small else (70_000, 1_000_000), device),
        HUGE: lambda: graphs.rmat(*(200, 2000) if small else (10_000_000, 100_000_000), device),
    }[name]()
    if name != HUGE:
        adj.tensors(transpose=True)
    return adj


@dataclass
class World:
    """small: everything tiny, to see that it runs."""

    device: str
    small: bool

    def graph(self, name: str) -> CSR:
        return _graph(name, self.device, self.small)

    def size(self, full: int, small: int) -> int:
        return small if self.small else full

    def values(self, name: str) -> Values:
        return Values(torch.Generator(self.device).manual_seed(zlib.crc32(name.encode())))


@dataclass
class Values:
    """A stream of random values."""

    generator: torch.Generator

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.generator.device).to(dtype)

    def index(self, size: int, high: int) -> Tensor:
        return torch.randint(0, high, (size,), generator=self.generator, device=self.generator.device)
