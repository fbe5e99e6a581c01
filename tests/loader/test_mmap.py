"""Graphs and features in files."""

import warnings

import numpy as np
import pytest
import torch

from graphkern import CSR
from graphkern.loader import LinkNeighborLoader, NeighborLoader
from tests.loader.worlds import NUM_NODES, fingerprint, make_graph


def mapped(path, array: torch.Tensor) -> torch.Tensor:
    np.save(path, array.numpy())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.load(path, mmap_mode="r"))


@pytest.mark.parametrize("loader", [NeighborLoader, LinkNeighborLoader])
@pytest.mark.parametrize("num_threads", [0, 2])
def test_files_give_the_batches_that_memory_gives(tmp_path, loader, num_threads):
    adj = make_graph()
    x = torch.randn(NUM_NODES, 8)
    plain = CSR(adj.indptr, adj.indices, NUM_NODES)
    stored = CSR(mapped(tmp_path / "indptr.npy", adj.indptr), mapped(tmp_path / "indices.npy", adj.indices), NUM_NODES)
    stored_x = mapped(tmp_path / "x.npy", x)
    from_memory = loader(plain, [4, 3], x=x, batch_size=50, shuffle=True)
    from_files = loader(stored, [4, 3], x=stored_x, batch_size=50, shuffle=True, num_threads=num_threads)
    assert from_files.adj.indices.data_ptr() == stored.indices.data_ptr()
    assert fingerprint(*from_files) == fingerprint(*from_memory)
