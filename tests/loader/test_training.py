"""A model trained on sampled batches, beside the same model trained on the whole graph."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from graphkern import CSR, spmm
from graphkern.loader import NeighborLoader

DATA = Path(os.environ.get("GRAPHKERN_DATA") or Path(__file__).parents[3] / "shared/data")
EXAMPLE = Path(__file__).parents[2] / "examples" / "sage_minibatch.py"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("sage_minibatch", EXAMPLE)
    module = sys.modules["sage_minibatch"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["sage_minibatch"]


def run(example, monkeypatch, capsys, *arguments: str) -> dict[str, float]:
    """Test accuracy by name of the run."""
    monkeypatch.setattr(sys, "argv", ["sage_minibatch.py", *arguments])
    example.main()
    out = capsys.readouterr().out
    assert "epoch  1  loss" in out
    return {name: float(value) for name, value in re.findall(r"^([a-z ]+): .* test accuracy ([.\d]+)", out, re.M)}


def test_the_example_comes_close_to_the_whole_graph(example, monkeypatch, capsys):
    accuracy = run(
        example, monkeypatch, capsys, "--nodes", "3000", "--epochs", "4", "--batch-size", "125", "--full-steps", "48"
    )
    assert accuracy["sampled"] > accuracy["whole graph"] - 0.05
    assert accuracy["sampled"] > 0.8  # 1 in 10 by chance


def test_the_example_reads_files(example, monkeypatch, capsys, tmp_path):
    task = example.made_task(1000)
    arrays = {"indptr": task.adj.indptr, "indices": task.adj.indices} | {
        name: getattr(task, name) for name in ("x", "y", "train", "test")
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array.numpy())
    accuracy = run(
        example,
        monkeypatch,
        capsys,
        "--data",
        str(tmp_path),
        "--epochs",
        "3",
        "--batch-size",
        "50",
        "--full-steps",
        "0",
    )
    assert accuracy["sampled"] > 0.5


def listening(example):
    """Last.fm's users and artists. Near nodes have near features; a fixed network of them and their neighbors says the
    class of a node."""
    path = DATA / "lastfm" / "train.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there (GRAPHKERN_DATA says where the data is)")
    user, item = torch.from_numpy(np.loadtxt(path, dtype=np.int64, delimiter=",", skiprows=1, usecols=(0, 1)).T)
    item = item + user.max() + 1
    size = int(item.max()) + 1
    adj = CSR.from_edge_index(torch.stack([torch.cat([user, item]), torch.cat([item, user])]), size, size)
    taste = spmm(adj, spmm(adj, torch.randn(size, 32), reduce="mean"), reduce="mean")
    x = (taste - taste.mean(dim=0)) / taste.std(dim=0)
    y = ((x + spmm(adj, x, reduce="mean")) @ torch.randn(32, 10)).argmax(dim=1)
    order = torch.randperm(size)
    return example.Task(adj, x, y, order[: size // 4], order[size // 4 :])


@pytest.mark.parametrize("made", [True, False], ids=["made", "lastfm"])
def test_sampled_training_reaches_the_loss_of_the_whole_graph(example, made):
    """The training loss over full neighborhoods comes within 0.02 of that of 125 or so steps on the whole graph: after
    as many steps on the made graph, after twice as many on Last.fm."""
    torch.manual_seed(0)
    task = example.made_task(2000) if made else listening(example)
    losses = {}
    for sampled in (False, True):
        torch.manual_seed(0)
        model = example.SAGE(task.x.shape[1], 32, 10, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        loader = NeighborLoader(task.adj, [10, 10], task.train, x=task.x, y=task.y, batch_size=250, shuffle=True)
        for _ in range(25 if made or not sampled else 50):
            if sampled:
                steps = ((model(batch.x, batch.layers), batch.y) for batch in loader)
            else:
                steps = ((model(task.x, [task.adj] * 2)[task.train], task.y[task.train]) for _ in loader)
            for out, y in steps:
                optimizer.zero_grad()
                cross_entropy(out, y).backward()
                optimizer.step()
        losses[sampled], _ = example.evaluate(model, task, task.train, [10, 10])
    assert losses[True] < losses[False] + 0.02
