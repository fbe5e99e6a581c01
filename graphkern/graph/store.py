"""Heterogeneous graphs on disk: one meta.json and plain .npy arrays that open without being read."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.graph.build import HeteroGraph

FORMAT_VERSION = 1


def save_graph(folder: Path, graph: HeteroGraph) -> None:
    """Write graph to a new folder; the folder appears whole or not at all.

    Edge type number i of meta.json has the files i.indptr.npy, i.indices.npy and, where it is weighted, i.weight.npy.
    edge_id is not kept.
    Raises: FileExistsError if the folder exists.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        part = Path(scratch, "graph")
        part.mkdir()
        for number, (edge_type, adj) in enumerate(graph.adjs.items()):
            np.save(part / f"{number}.indptr.npy", adj.indptr.cpu().numpy())
            np.save(part / f"{number}.indices.npy", adj.indices.cpu().numpy())
            if edge_type in graph.weights:
                np.save(part / f"{number}.weight.npy", graph.weights[edge_type].cpu().numpy())
        meta = {
            "format": FORMAT_VERSION,
            "num_nodes": graph.num_nodes,
            "edge_types": [{"type": edge_type, "weighted": edge_type in graph.weights} for edge_type in graph.adjs],
            "names": graph.names,
        }
        (part / "meta.json").write_text(json.dumps(meta, ensure_ascii=False, indent=1), encoding="utf-8")
        part.rename(folder)


def load_graph(folder: Path, mmap: bool = True, validate: bool = True) -> HeteroGraph:
    """Read what save_graph wrote.

    Args:
        mmap: map the arrays into memory instead of copying them; what is written to them stays in memory.
        validate: check every index, which reads all of them once.
    Raises: FileNotFoundError; ValueError for another format version or arrays that make no graph.
    """
    folder = Path(folder)
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    if meta.get("format") != FORMAT_VERSION:
        raise ValueError(f"{folder} has graph format {meta.get('format')}; this version reads {FORMAT_VERSION}")

    def read(name: str) -> Tensor:
        return torch.from_numpy(np.load(folder / name, mmap_mode="c" if mmap else None, allow_pickle=False))

    adjs, weights = {}, {}
    for number, entry in enumerate(meta["edge_types"]):
        edge_type = tuple(entry["type"])
        indptr, indices = read(f"{number}.indptr.npy"), read(f"{number}.indices.npy")
        adjs[edge_type] = CSR(indptr, indices, meta["num_nodes"][edge_type[0]], validate=validate)
        if entry["weighted"]:
            weights[edge_type] = read(f"{number}.weight.npy")
    return HeteroGraph(meta["num_nodes"], adjs, weights, meta["names"])
