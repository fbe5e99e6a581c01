"""PyG's own NeighborLoader and GraphSAGE, sampled by graphkern, beside graphkern's own loader.

    python examples/pyg_neighbor_loader.py                Gowalla's users and places, where its files are there
    python examples/pyg_neighbor_loader.py --data FOLDER  FOLDER/gowalla/train.csv.gz, lines of user, place

The one line that the code of a PyG user lacks is `compat.enable()`; pyg_lib, torch_sparse and torch_scatter are not
installed. The task is made from the graph: a node's class says how popular its neighbors are, which is what one mean
over the neighborhood tells.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GraphSAGE

from graphkern import CSR, compat, spmm
from graphkern.loader import NeighborLoader as OwnLoader

DATA = os.environ.get("GRAPHKERN_DATA") or Path(__file__).parents[2] / "shared" / "data"


def gowalla(path: Path) -> tuple[Tensor, int]:
    """Edges [2, E] in both directions between users and, numbered after them, places; how many nodes."""
    user, place = torch.from_numpy(np.loadtxt(path, dtype=np.int64, delimiter=",", skiprows=1, unpack=True))
    place = place + user.max() + 1
    return torch.stack([torch.cat([user, place]), torch.cat([place, user])]), int(place.max()) + 1


def power_law(num_nodes: int, degree: int, seed: int) -> tuple[Tensor, int]:
    """Edges [2, E] in both directions whose ends are drawn in proportion to rank ** -0.75; how many nodes."""
    draw = np.random.default_rng(seed)
    share = np.arange(1, num_nodes + 1) ** -0.75
    source, destination = draw.choice(num_nodes, size=(2, num_nodes * degree // 2), p=share / share.sum())
    return torch.from_numpy(np.stack([np.r_[source, destination], np.r_[destination, source]])), num_nodes


def made_task(edges: Tensor, num_nodes: int, num_classes: int = 4) -> tuple[Data, CSR]:
    """x [N, 8]: the logarithm of the degree, and noise; y [N]: the quantile of its mean over the neighbors."""
    adj = CSR.from_edge_index(edges, num_nodes, num_nodes)
    size = adj.degree().float().log1p()[:, None]
    around = spmm(adj, size, reduce="mean").squeeze(1)
    y = torch.bucketize(around, around.quantile(torch.arange(1, num_classes) / num_classes))
    x = torch.cat([(size - size.mean()) / size.std(), torch.randn(num_nodes, 7)], dim=1)
    return Data(x=x, y=y, edge_index=edges, num_nodes=num_nodes), adj


def check_edges(data: Data, batch: Data) -> int:
    """Every edge of the batch is the edge of the graph whose number it bears -> how many there are."""
    if not torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id]):
        raise AssertionError("a sampled edge is no edge of the graph")
    return batch.num_edges


def train(model: GraphSAGE, batches: Iterable[Data]) -> list[float]:
    """One step a batch -> the loss of each."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for batch in batches:
        loss = cross_entropy(model(batch.x, batch.edge_index)[: batch.batch_size], batch.y[: batch.batch_size])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    return itertools.chain.from_iterable(itertools.repeat(loader))


def rate(loader: Iterable[Any], steps: int, use: Callable[[Iterable[Any]], Any] = list) -> tuple[float, Any]:
    """Batches a second, after a first one -> and what use returned."""
    batches = endless(loader)
    next(batches)
    start = time.perf_counter()
    result = use(itertools.islice(batches, steps))
    return steps / (time.perf_counter() - start), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="by default GRAPHKERN_DATA or ../shared/data")
    parser.add_argument("--nodes", type=int, default=50_000, help="of the made graph, where there is no data")
    parser.add_argument("--fanouts", type=int, nargs="+", default=[10, 5], help="one number a layer")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    path, steps = arguments.data / "gowalla" / "train.csv.gz", arguments.steps
    if path.exists():
        print(f"{path}")
        edges, num_nodes = gowalla(path)
    else:
        print(f"no {path}: a made graph, its degrees follow a power law")
        edges, num_nodes = power_law(arguments.nodes, degree=16, seed=arguments.seed)
    data, adj = made_task(edges, num_nodes)
    print(f"{data}, {torch.get_num_threads()} threads; batches of {arguments.batch_size}, fanouts {arguments.fanouts}")

    with compat.enable():
        loader = NeighborLoader(data, arguments.fanouts, batch_size=arguments.batch_size, shuffle=True)
        checked = sum(check_edges(data, batch) for batch in itertools.islice(loader, steps))
        print(f"{checked} sampled edges, all of them edges of the graph")

        model = GraphSAGE(data.num_features, arguments.hidden, num_layers=len(arguments.fanouts), out_channels=4)
        trained, losses = rate(loader, steps, lambda batches: train(model, batches))
        first, last = (sum(part) / len(part) for part in (losses[:10], losses[-10:]))
        print(f"GraphSAGE of PyG, {steps} steps: loss {first:.4f} -> {last:.4f}, {trained:.1f} batches/s")

        pyg = rate(loader, steps)[0]
    print(f"PyG's NeighborLoader over graphkern's sampler: {pyg:.1f} batches/s")
    for threads in (0, 1):
        own_loader = OwnLoader(
            adj, arguments.fanouts, x=data.x, y=data.y, batch_size=arguments.batch_size, shuffle=True,
            num_threads=threads, seed=arguments.seed,
        )  # fmt: skip
        own = rate(own_loader, steps)[0]
        print(f"graphkern's loader, {threads} threads in the background: {own:.1f} batches/s, x {own / pyg:.2f}")


if __name__ == "__main__":
    main()
