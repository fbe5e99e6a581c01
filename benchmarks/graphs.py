"""The graphs that the benchmarks run on, by name. Each is built once a session; `small` asks for a tiny likeness."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkern import CSR

DATA = Path(os.environ.get("GRAPHKERN_DATA") or Path(__file__).parents[1] / "../shared/data")


class Absent(Exception):  # noqa: N818
    """Why something cannot be measured here."""


@functools.lru_cache
def graph(name: str, small: bool = False) -> CSR:
    """The graph of that name, int32, with its transpose. Raises Absent where its data is not here."""
    adj = MAKERS[name](small)
    adj.tensors(transpose=True)
    return adj


def _csr(source: Tensor, destination: Tensor, num_nodes: int) -> CSR:
    return CSR.from_edge_index(torch.stack([source, destination]).int(), num_nodes, num_nodes)


def _pairs(path: Path, few: int) -> tuple[Tensor, Tensor]:
    """Users and items of a file's lines; few: of 30 users and so many items, where it is not 0."""
    if not path.exists():
        raise Absent(f"{path} is not there (GRAPHKERN_DATA says where the data is)")
    user, item = torch.from_numpy(np.loadtxt(path, dtype=np.int64, delimiter=",", skiprows=1, usecols=(0, 1)).T)
    keep = user < 30
    return (user[keep], item[keep] % few) if few else (user, item)


def _interactions(path: Path, small: bool) -> CSR:
    """Users and items as one graph, each edge in both directions; users first."""
    user, item = _pairs(path, 100 if small else 0)
    num_users = int(user.max()) + 1
    item = item + num_users
    user, item = torch.stack([user, item]).unique(dim=1)
    return _csr(torch.cat([user, item]), torch.cat([item, user]), int(item.max()) + 1)


@functools.lru_cache
def interactions(name: str, small: bool = False) -> tuple[CSR, CSR]:
    """Users x items of train and test, int32, items ascending. Raises Absent where the data is not here."""
    files = (DATA / name / f"{part}.csv.gz" for part in ("train", "test"))
    pairs = [torch.stack(_pairs(file, 1000 if small else 0)).unique(dim=1) for file in files]
    num_users, num_items = (int(top) + 1 for top in torch.cat(pairs, 1).amax(1))
    train, test = (CSR.from_edge_index(part.flip(0).int(), num_users, num_items) for part in pairs)
    return train, test


def uniform(num_nodes: int, degree: int, device: str = "cpu") -> CSR:
    """Without loops and parallel edges, which peers treat differently; so a few edges less than nodes x degree."""
    generator = torch.Generator(device).manual_seed(0)
    row = torch.randint(0, num_nodes, (num_nodes * degree,), generator=generator, device=device)
    column = (row + torch.randint(1, num_nodes, row.shape, generator=generator, device=device)) % num_nodes
    edge = (num_nodes * row + column).unique()
    return _csr(edge % num_nodes, edge // num_nodes, num_nodes)


def rmat(num_nodes: int, num_edges: int, device: str = "cpu", a: float = 0.57, b: float = 0.19, c: float = 0.19) -> CSR:
    """A power law of degrees; nodes are renamed at random, so that hubs do not sit together.

    Source: Chakrabarti et al. 2004; the parameters are Graph500's.
    """
    generator = torch.Generator(device).manual_seed(0)
    row, column = torch.zeros(2, num_edges, dtype=torch.int32, device=device)
    scale = (num_nodes - 1).bit_length()
    for _ in range(scale):
        draw = torch.rand(num_edges, generator=generator, device=device)
        row = 2 * row + (draw >= a + b)
        column = 2 * column + (((draw >= a) & (draw < a + b)) | (draw >= a + b + c))
    name = torch.randperm(1 << scale, generator=generator, device=device) % num_nodes
    return _csr(name[column], name[row], num_nodes)


def star(num_nodes: int, hub_edges: int, device: str = "cpu") -> CSR:
    """Node 0 has edges from everywhere, every node one edge from node 0."""
    generator = torch.Generator(device).manual_seed(0)
    leaves = torch.arange(num_nodes, device=device)
    spokes = torch.randint(0, num_nodes, (hub_edges,), generator=generator, device=device)
    zeros = leaves.new_zeros(hub_edges + num_nodes)
    return _csr(torch.cat([spokes, zeros[:num_nodes]]), torch.cat([zeros[:hub_edges], leaves]), num_nodes)


def _empty_rows(num_nodes: int, num_edges: int) -> CSR:
    """One row in ten, picked at random, has all the edges."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(num_nodes, generator=generator)[: num_nodes // 10]
    destination = rows[torch.randint(0, rows.shape[0], (num_edges,), generator=generator)]
    return _csr(torch.randint(0, num_nodes, (num_edges,), generator=generator), destination, num_nodes)


MAKERS = {
    "gowalla": lambda small: _interactions(DATA / "gowalla/train.csv.gz", small),
    "lastfm": lambda small: _interactions(DATA / "lastfm/train.csv", small),
    "uniform-200k-x15": lambda small: uniform(200 if small else 200_000, 15),
    "uniform-100k-x15": lambda small: uniform(200 if small else 100_000, 15),
    "rmat-1M-10M": lambda small: rmat(256, 2000) if small else rmat(1 << 20, 10_000_000),
    "star-1M": lambda small: star(100, 1000) if small else star(200_000, 1_000_000),
    "empty-rows": lambda small: _empty_rows(200, 400) if small else _empty_rows(500_000, 1_500_000),
}
