"""Graphs for the loaders' tests, and what tells two batches apart."""

import hashlib
import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils import _pytree as pytree

from graphkern import CSR
from graphkern.loader import Batch, HeteroBatch

ROOT = Path(__file__).parents[2]
NUM_NODES, NUM_EDGES = 300, 3000
USER_ITEM, ITEM_USER, USER_USER = ("user", "buys", "item"), ("item", "bought", "user"), ("user", "knows", "user")


def make_edges() -> torch.Tensor:
    """[2, E] (source, destination), in no order."""
    return torch.from_numpy(np.random.default_rng(0).integers(NUM_NODES, size=(2, NUM_EDGES)))


def make_graph() -> CSR:
    return CSR.from_edge_index(make_edges(), NUM_NODES, NUM_NODES)


def make_hetero() -> dict[tuple[str, str, str], CSR]:
    """40 users, 60 items."""
    draw = np.random.default_rng(1)
    user, item = torch.from_numpy(draw.integers(40, size=400)), torch.from_numpy(draw.integers(60, size=400))
    friends = torch.from_numpy(draw.integers(40, size=(2, 100)))
    return {
        USER_ITEM: CSR.from_edge_index(torch.stack([user, item]), 60, 40),
        ITEM_USER: CSR.from_edge_index(torch.stack([item, user]), 40, 60),
        USER_USER: CSR.from_edge_index(friends, 40, 40),
    }


def fingerprint(*batches: Batch | HeteroBatch) -> str:
    """Equal where every tensor of every batch is."""
    digest = hashlib.sha256()
    for batch in batches:
        leaves, _ = pytree.tree_flatten(vars(batch))
        for leaf in leaves:
            digest.update(leaf.numpy().tobytes() if isinstance(leaf, torch.Tensor) else repr(leaf).encode())
    return digest.hexdigest()


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("graphkern-loader")]


def threads_end(seconds: float = 10) -> bool:
    """Whether no loader thread is left, now or soon."""
    limit = time.monotonic() + seconds
    while loader_threads() and time.monotonic() < limit:
        time.sleep(0.01)
    return not loader_threads()
