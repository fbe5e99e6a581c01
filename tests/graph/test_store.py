"""A stored graph comes back equal, and a damaged one is refused."""

import json

import numpy as np
import pytest
import torch

from graphkern.graph import SplitConfig, load_dataset, load_graph, make_split, product_graph, save_graph


@pytest.fixture
def graph(config):
    data = load_dataset(config)
    return product_graph(data, make_split(data, SplitConfig(valid=0, test=0.4, cold_items=0)))


@pytest.mark.parametrize("mmap", [True, False])
def test_round_trip(tmp_path, graph, mmap):
    save_graph(tmp_path / "deep" / "graph", graph)
    loaded = load_graph(tmp_path / "deep" / "graph", mmap=mmap)
    assert (loaded.num_nodes, loaded.names) == (graph.num_nodes, graph.names)
    assert list(loaded.adjs) == list(graph.adjs)
    for edge_type, adj in graph.adjs.items():
        assert torch.equal(loaded.adjs[edge_type].indptr, adj.indptr)
        assert torch.equal(loaded.adjs[edge_type].indices, adj.indices)
    assert list(loaded.weights) == list(graph.weights)
    for edge_type, weight in graph.weights.items():
        assert torch.equal(loaded.weights[edge_type], weight)


def test_writing_to_mapped_arrays_leaves_the_files(tmp_path, graph):
    save_graph(tmp_path / "graph", graph)
    edge_type = next(iter(graph.weights))
    load_graph(tmp_path / "graph").weights[edge_type].zero_()
    assert torch.equal(load_graph(tmp_path / "graph").weights[edge_type], graph.weights[edge_type])


def test_an_existing_folder_is_not_overwritten(tmp_path, graph):
    save_graph(tmp_path / "graph", graph)
    with pytest.raises(FileExistsError):
        save_graph(tmp_path / "graph", graph)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["graph"]


def test_damage_is_found(tmp_path, graph):
    save_graph(tmp_path / "graph", graph)
    indices = np.load(tmp_path / "graph" / "0.indices.npy")
    np.save(tmp_path / "graph" / "0.indices.npy", indices + 1000)
    with pytest.raises(ValueError, match="indices must be in"):
        load_graph(tmp_path / "graph")
    meta = tmp_path / "graph" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": 99}))
    with pytest.raises(ValueError, match="graph format 99"):
        load_graph(tmp_path / "graph")
    with pytest.raises(FileNotFoundError):
        load_graph(tmp_path / "nothing")
