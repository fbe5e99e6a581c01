"""CSR: building, converting, transposing, refusing."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse
import torch

from graphkern import CSR, spmm

EDGES = torch.tensor([[2, 0, 1, 3, 0, 2, 0], [1, 0, 0, 2, 2, 0, 0]])  # (0, 0) twice; row 3 empty


def _dense(num_rows=4, num_cols=5):
    dense = np.zeros((num_rows, num_cols))
    np.add.at(dense, (EDGES[1].numpy(), EDGES[0].numpy()), 1)
    return dense


def _toarray(adj):
    return adj.to_scipy().toarray()


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_from_edge_index_keeps_edges_and_their_order(dtype):
    adj = CSR.from_edge_index(EDGES.to(dtype), 4, 5)
    assert (adj.num_rows, adj.num_cols, adj.num_edges, adj.dtype) == (4, 5, 7, dtype)
    assert np.array_equal(_toarray(adj), _dense())
    assert torch.equal(EDGES[0][adj.edge_id.long()], adj.indices.long())
    assert torch.equal(EDGES[1][adj.edge_id.long()], adj.row_index().long())
    rows = adj.row_index()
    for row in range(4):  # stable within a row
        assert adj.edge_id[rows == row].diff().gt(0).all()


def test_transpose_leads_to_the_same_edges_and_back():
    adj = CSR.from_edge_index(EDGES, 4, 5)
    assert np.array_equal(_toarray(adj.t()), _dense().T)
    assert adj.t().t() is adj
    assert adj.t() is adj.t()
    assert torch.equal(EDGES[1][adj.t().edge_id], adj.t().indices)
    for graph in (adj, adj.t()):
        *_, t_indices, permutation = graph.tensors(transpose=True)
        assert torch.equal(graph.row_index()[permutation], t_indices)


def test_scipy_and_torch_sparse_round_trips():
    matrix = scipy.sparse.random_array((30, 20), density=0.1, rng=np.random.default_rng(0), format="csr")
    adj = CSR.from_scipy(matrix)
    assert np.array_equal(_toarray(adj) > 0, matrix.toarray() > 0)
    dense = torch.from_numpy(_dense())
    for sparse in (dense.to_sparse_csr(), dense.to_sparse_coo()):
        assert np.array_equal(_toarray(CSR.from_torch_sparse(sparse)), _dense() > 0)
    with pytest.raises(ValueError, match="sparse_csr or sparse_coo"):
        CSR.from_torch_sparse(dense)


def test_to_changes_the_index_dtype_and_keeps_edge_ids():
    adj = CSR.from_edge_index(EDGES, 4, 5)
    assert adj.to(dtype=torch.int64) is adj
    narrow = adj.to(dtype=torch.int32)
    assert narrow.dtype == torch.int32
    assert torch.equal(narrow.edge_id.long(), adj.edge_id)
    with pytest.raises(TypeError, match="int32 or int64"):
        adj.to(dtype=torch.int16)


def test_memory_mapped_graph(tmp_path):
    adj = CSR.from_edge_index(EDGES, 4, 5)
    for name in ("indptr", "indices"):
        np.save(tmp_path / f"{name}.npy", getattr(adj, name).numpy())
    arrays = [torch.from_numpy(np.load(tmp_path / f"{name}.npy", mmap_mode="c")) for name in ("indptr", "indices")]
    assert np.array_equal(_toarray(CSR(*arrays, 5)), _dense())


def test_is_frozen():
    adj = CSR.from_edge_index(EDGES, 4, 5)
    with pytest.raises(AttributeError, match="frozen"):
        adj.num_cols = 7


def _csr(indptr, indices, num_cols=4, **more):
    return lambda: CSR(torch.tensor(indptr), torch.tensor(indices), num_cols, **more)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (_csr([0, 2, 3], [0, 1, 4]), ValueError, r"indices must be in \[0, 4\) but runs from 0 to 4"),
        (_csr([0, 2, 3], [0, -1, 2]), ValueError, "runs from -1 to 2"),
        (_csr([0, 2, 1, 3], [0, 1, 2]), ValueError, r"indptr must not decrease but indptr\[2\] < indptr\[1\]"),
        (_csr([1, 2, 3], [0, 1, 2]), ValueError, "must run from 0 to 3"),
        (_csr([0, 2, 4], [0, 1, 2]), ValueError, "must run from 0 to 3"),
        (_csr([0, 2, 3], [0.0, 1.0, 2.0]), TypeError, "indices must be int32 or int64 but is torch.float32"),
        (_csr([0, 3], [[0, 1, 2]]), ValueError, r"indices must be \[E\]"),
        (_csr([], [0], 4), TypeError, "indptr must be int32 or int64"),
        (_csr([0, 1], [0], -1), ValueError, "num_cols must not be negative"),
        (_csr([0, 1], [0], 4, edge_id=torch.tensor([1, 2])), ValueError, "edge_id"),
        (lambda: CSR(torch.tensor([0, 1]), torch.tensor([0], dtype=torch.int32), 2), TypeError, "but indices is"),
        (lambda: CSR.from_edge_index(EDGES, 2, 5), ValueError, "destination"),
        (lambda: CSR.from_edge_index(EDGES, 4, 3), ValueError, "source"),
        (lambda: CSR.from_edge_index(EDGES.float(), 4, 5), TypeError, "int32 or int64"),
        (lambda: CSR.from_edge_index(EDGES.T, 4, 5), ValueError, r"\[2, E\]"),
    ],
)
def test_bad_graphs_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("method", ["rcm", "degree", "community"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_reorder_renumbers_the_same_graph(method, dtype):
    torch.manual_seed(1)
    edges = torch.randint(0, 50, (2, 300), dtype=dtype)
    adj = CSR.from_edge_index(edges, 50, 50)
    new, permutation = adj.reorder(method)
    assert torch.equal(permutation.sort().values, torch.arange(50))
    dense = torch.from_numpy(adj.to_scipy().toarray())
    assert torch.equal(torch.from_numpy(new.to_scipy().toarray()), dense[permutation][:, permutation])
    assert new.dtype == dtype
    assert torch.equal(permutation[new.row_index().long()], edges[1].long()[new.edge_id.long()])
    assert torch.equal(permutation[new.indices.long()], edges[0].long()[new.edge_id.long()])


def test_reorder_finds_what_it_is_named_for():
    torch.manual_seed(2)
    blocks, size = 8, 25
    hidden = torch.randperm(blocks * size)
    inside = torch.randint(0, size, (2, 4000)) + size * torch.randint(0, blocks, (4000,))
    adj = CSR.from_edge_index(hidden[inside], blocks * size, blocks * size)

    def span(graph: CSR) -> float:
        return float((graph.row_index() - graph.indices).abs().double().mean())

    assert span(adj.reorder("community")[0]) < span(adj) / 4
    path = torch.randperm(200)
    line = CSR.from_edge_index(torch.stack([path[:-1], path[1:]]), 200, 200)
    assert span(line.reorder("rcm")[0]) == 1
    degree = torch.bincount(torch.cat([adj.row_index(), adj.indices]))
    assert (degree[adj.reorder("degree")[1]].diff() <= 0).all()


def test_reorder_refuses():
    with pytest.raises(ValueError, match="square"):
        CSR.from_edge_index(torch.tensor([[0], [0]]), 1, 2).reorder("degree")
    with pytest.raises(ValueError, match="method must be one of"):
        CSR.from_edge_index(torch.tensor([[0], [0]]), 1, 1).reorder("random")
    empty = CSR.from_edge_index(torch.zeros(2, 0, dtype=torch.long), 3, 3)
    for method in ("rcm", "degree", "community"):
        assert empty.reorder(method)[0].num_edges == 0


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda adj: pickle.loads(pickle.dumps(adj))])
def test_copies_are_the_same_graph(copied):
    adj = CSR.from_edge_index(EDGES, 4, 4)
    adj.t()
    other = copied(adj)
    for name in ("indptr", "indices", "edge_id", "num_cols"):
        assert torch.equal(torch.as_tensor(getattr(other, name)), torch.as_tensor(getattr(adj, name)))
    assert torch.equal(other.t().indices, adj.t().indices)


def test_a_transpose_built_in_inference_mode_serves_training():
    adj = CSR.from_edge_index(EDGES, 4, 4)
    with torch.inference_mode():
        adj.t()
    x = torch.randn(4, 2, requires_grad=True)
    spmm(adj, x).sum().backward()
    assert x.grad is not None
