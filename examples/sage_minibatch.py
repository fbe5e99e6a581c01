"""GraphSAGE trained by neighbor sampling, beside the same model trained on the whole graph at once.

    python examples/sage_minibatch.py                    a made graph: communities whose features are mostly noise
    python examples/sage_minibatch.py --data FOLDER      indptr.npy, indices.npy (rows are destinations), x.npy [N, F],
                                                         y.npy [N] classes, train.npy and test.npy (node numbers)

Files are memory-mapped: the graph and its features may be larger than memory (leave out the whole-graph run then, by
--full-steps 0).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from graphkern import CSR
from graphkern.loader import NeighborLoader
from graphkern.nn import SAGEConv


@dataclass
class Task:
    """Classify nodes: x [N, F] float32, y [N] int64 classes, numbers of the nodes to train and to test on."""

    adj: CSR
    x: Tensor
    y: Tensor
    train: Tensor
    test: Tensor


def made_task(num_nodes: int, num_classes: int = 10, degree: int = 10, num_features: int = 32, seed: int = 0) -> Task:
    """A stochastic block model: 7 of 10 edges stay within a class; features are the class's mean under noise."""
    draw = np.random.default_rng(seed)
    y = draw.integers(num_classes, size=num_nodes)
    by_class = np.argsort(y, kind="stable")
    first = np.searchsorted(y[by_class], np.arange(num_classes + 1))
    source = draw.integers(num_nodes, size=num_nodes * degree // 2)
    low, high = first[y[source]], first[y[source] + 1]
    inside = by_class[low + draw.integers(high - low)]
    partner = np.where(draw.random(source.size) < 0.7, inside, draw.integers(num_nodes, size=source.size))
    edges = torch.from_numpy(np.stack([np.concatenate([source, partner]), np.concatenate([partner, source])]))
    means = draw.standard_normal((num_classes, num_features)) / 2
    x = means[y] + 2 * draw.standard_normal((num_nodes, num_features))
    order = torch.from_numpy(draw.permutation(num_nodes))
    adj = CSR.from_edge_index(edges, num_nodes, num_nodes)
    split = num_nodes // 2
    return Task(adj, torch.from_numpy(x).float(), torch.from_numpy(y), order[:split], order[split:])


def stored_task(folder: Path) -> Task:
    """The files of folder, memory-mapped."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        read = {
            name: torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="r"))
            for name in ("indptr", "indices", "x", "y", "train", "test")
        }
    adj = CSR(read["indptr"], read["indices"], read["indptr"].shape[0] - 1)
    return Task(adj, read["x"], read["y"], read["train"], read["test"])


class SAGE(nn.Module):
    """One SAGEConv a hop."""

    def __init__(self, num_features: int, hidden: int, num_classes: int, num_layers: int) -> None:
        super().__init__()
        sizes = [num_features, *[hidden] * (num_layers - 1), num_classes]
        self.convs = nn.ModuleList(SAGEConv(size, after) for size, after in pairwise(sizes))

    def forward(self, x: Tensor, layers: Sequence[CSR]) -> Tensor:
        """x [n, F] and the graph of each layer, outermost hop first -> logits of the rows of the last."""
        for i, (conv, adj) in enumerate(zip(self.convs, layers, strict=True)):
            x = conv((x, x[: adj.num_rows]), adj)
            if i + 1 < len(layers):
                x = x.relu()
        return x


@torch.no_grad()
def evaluate(
    model: SAGE, task: Task, nodes: Tensor, fanouts: Sequence[int], batch_size: int = 4096
) -> tuple[float, float]:
    """Mean loss and accuracy over nodes, each seen with all of its neighbors."""
    loader = NeighborLoader(task.adj, [-1] * len(fanouts), nodes, x=task.x, y=task.y, batch_size=batch_size)
    loss = correct = 0.0
    for batch in loader:
        out = model(batch.x, batch.layers)
        loss += cross_entropy(out, batch.y, reduction="sum").item()
        correct += (out.argmax(1) == batch.y).sum().item()
    return loss / len(nodes), correct / len(nodes)


def train_sampled(model: SAGE, task: Task, arguments: argparse.Namespace) -> None:
    """Prints loss and accuracy after each epoch."""
    loader = NeighborLoader(
        task.adj, arguments.fanouts, task.train, x=task.x, y=task.y, batch_size=arguments.batch_size, shuffle=True,
        num_threads=arguments.threads, seed=arguments.seed,
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.lr)
    for epoch in range(1, arguments.epochs + 1):
        start, total = time.perf_counter(), 0.0
        for batch in loader:
            loss = cross_entropy(model(batch.x, batch.layers), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * batch.batch_size
        took = time.perf_counter() - start
        test_loss, accuracy = evaluate(model, task, task.test, arguments.fanouts)
        print(
            f"epoch {epoch:2}  loss {total / len(task.train):.4f}  test loss {test_loss:.4f}"
            f"  test accuracy {accuracy:.4f}  {len(loader) / took:.1f} batches/s"
        )


def train_whole(model: SAGE, task: Task, arguments: argparse.Namespace) -> None:
    """As many steps as asked, each on all nodes and edges."""
    layers, y = [task.adj] * len(arguments.fanouts), task.y[task.train]
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.lr)
    for _ in range(arguments.full_steps):
        loss = cross_entropy(model(task.x, layers)[task.train], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with a graph; without it one is made")
    parser.add_argument("--nodes", type=int, default=10_000, help="of the made graph")
    parser.add_argument("--fanouts", type=int, nargs="+", default=[10, 5], help="one number a layer")
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--full-steps", type=int, default=100, help="steps of the whole-graph run")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=1, help="that sample in the background; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    task = stored_task(arguments.data) if arguments.data else made_task(arguments.nodes, seed=arguments.seed)
    print(f"{task.adj}, {task.x.shape[1]} features, {len(task.train)} nodes to train on, {len(task.test)} to test on")
    num_classes = int(task.y.max()) + 1
    for name, train in (("sampled", train_sampled), ("whole graph", train_whole)):
        if train is train_whole and not arguments.full_steps:
            continue
        torch.manual_seed(arguments.seed)
        model = SAGE(task.x.shape[1], arguments.hidden, num_classes, len(arguments.fanouts))
        start = time.perf_counter()
        train(model, task, arguments)
        took = time.perf_counter() - start
        (loss, _), (test_loss, accuracy) = (
            evaluate(model, task, n, arguments.fanouts) for n in (task.train, task.test)
        )
        print(f"{name}: loss {loss:.4f}, test loss {test_loss:.4f}, test accuracy {accuracy:.4f}, {took:.1f} s")


if __name__ == "__main__":
    main()
