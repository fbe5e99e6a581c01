"""A GAT of PyTorch Geometric, trained before and after one added line.

    python examples/pyg_dropin.py [--data FOLDER] [--steps N]

The graph is Gowalla's check-ins (users and places, each edge in both directions) from FOLDER/gowalla; FOLDER is
$GRAPHKERN_DATA or ../shared/data. Without it a power-law graph of the same size is made. Nodes have random features;
the model learns by BPR that a place which a user visited scores above one drawn at random.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch_geometric.nn import GAT

import graphkern

FEATURES, HEADS, LAYERS, BATCH = 128, 8, 2, 4096
DATA = Path(os.environ.get("GRAPHKERN_DATA") or Path(__file__).parents[1] / "../shared/data")


def check_ins(folder: Path) -> tuple[Tensor, int, int]:
    """[2, E] users and places, and the number of each."""
    file = folder / "gowalla" / "train.csv.gz"
    if file.exists():
        pairs = torch.from_numpy(np.loadtxt(file, dtype=np.int64, delimiter=",", skiprows=1).T.copy())
        print(f"Gowalla: {pairs.shape[1]:,} check-ins")
    else:
        print(f"{file} is not there: a made graph, places visited by a power law")
        draw = np.random.default_rng(0)
        place = np.minimum((40_981 * draw.random(810_000) ** 3).astype(np.int64), 40_980)
        pairs = torch.from_numpy(np.stack([draw.integers(29_858, size=810_000), place]))
    num_users, num_places = (int(top) + 1 for top in pairs.amax(1))
    return pairs, num_users, num_places


class Peak:
    """How far the memory of the process rises in a `with` block, in MiB (Linux; elsewhere nan)."""

    def __enter__(self) -> Peak:
        gc.collect()
        self.before = float("nan")
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to the present size
            self.before = self._status("VmRSS")
        except OSError:
            warnings.warn("no peak memory: /proc/self/clear_refs cannot be written", stacklevel=2)
        return self

    def __exit__(self, *_: object) -> None:
        self.mib = self._status("VmHWM") - self.before if self.before == self.before else self.before

    @staticmethod
    def _status(name: str) -> float:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(lines[name].split()[0]) / 1024


class Task:
    """What the model is trained on: x [N, FEATURES], edge_index [2, 2 E] with users before places."""

    def __init__(self, pairs: Tensor, num_users: int, num_places: int) -> None:
        self.pairs, self.num_places = pairs + torch.tensor([[0], [num_users]]), num_places
        self.edge_index = torch.cat([self.pairs, self.pairs.flip(0)], 1)
        self.x = torch.randn(num_users + num_places, FEATURES)

    def loss(self, model: GAT, draw: torch.Generator) -> Tensor:
        user, place = self.pairs[:, torch.randint(self.pairs.shape[1], (BATCH,), generator=draw)]
        other = self.x.shape[0] - 1 - torch.randint(self.num_places, (BATCH,), generator=draw)
        user, place, other = model(self.x, self.edge_index)[torch.stack([user, place, other])]
        return -logsigmoid((user * (place - other)).sum(1)).mean()


def train(model: GAT, task: Task, steps: int) -> tuple[float, float]:
    """Median seconds of a step, the first left out, and MiB at the peak of them all."""
    optimizer, draw, took = torch.optim.Adam(model.parameters(), lr=1e-3), torch.Generator().manual_seed(0), []
    with Peak() as peak:
        for _ in range(steps + 1):
            start = time.perf_counter()
            loss = task.loss(model, draw)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            took.append(time.perf_counter() - start)
    return float(np.median(took[1:])), peak.mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    task = Task(*check_ins(arguments.data))
    before = GAT(FEATURES, FEATURES, LAYERS, heads=HEADS)
    after = copy.deepcopy(before)

    graphkern.accelerate(after)  # the added line

    print(after.accelerated)
    print(f"{'':8} {'s/step':>8} {'peak MiB':>9}")
    results = {}
    for name, model in (("after", after), ("before", before)):
        results[name] = train(model, task, arguments.steps)
        print(f"{name:8} {results[name][0]:8.3f} {results[name][1]:9.0f}")
    speed, memory = (b / a for b, a in zip(results["before"], results["after"], strict=True))
    print(f"{speed:.1f} times the speed, 1/{memory:.1f} of the memory ({torch.get_num_threads()} threads)")

    with torch.no_grad():
        expected = before(task.x, task.edge_index)
        trained = (after(task.x, task.edge_index) - expected).abs().max()
        after.load_state_dict(before.state_dict())
        same = (after(task.x, task.edge_index) - expected).abs().max()
    print(f"largest difference of outputs: {same:.1e} with equal parameters, {trained:.1e} after training apart")


if __name__ == "__main__":
    main()
