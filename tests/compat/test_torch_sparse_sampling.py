"""Sampled neighbors, walks and subgraphs of one graph: membership, counts, distribution, reproducibility."""

import itertools

import numpy as np
import pytest
import torch

from graphkern.compat import torch_sparse
from graphkern.compat.torch_sparse import SparseTensor, _sampling
from tests.compat.torch_sparse_matrices import all_edges, check_edges, column, random_graph, uniform

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.usefixtures("enabled")]
ops = torch.ops.torch_sparse


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("fanouts", [[], [0], [2], [-1], [3, 2], [-1, -1], [1, 1, 1], [50, 4], [-7]], ids=str)
def test_neighbor_sample(fanouts, replace, directed):
    colptr, row = random_graph()
    seeds = torch.tensor([7, 3, 0, 21])
    node, local_row, local_col, edge = ops.neighbor_sample(colptr, row, seeds, fanouts, replace, directed)
    assert node[:4].tolist() == seeds.tolist()
    assert node.unique().numel() == node.numel()
    check_edges(colptr, row, node, node, local_row, local_col, edge)
    if not directed:
        assert sorted(edge.tolist()) == all_edges(colptr, row, node, node)
        return
    degree = (colptr[1:] - colptr[:-1])[node]
    count = torch.bincount(local_col, minlength=node.numel())
    if not fanouts:
        assert edge.numel() == 0
    elif fanouts[0] < 0:
        assert torch.equal(count[:4], degree[:4])
    elif replace:
        assert torch.equal(count[:4], torch.where(degree[:4] > 0, fanouts[0], 0))
    else:
        assert torch.equal(count[:4], degree[:4].clamp(max=fanouts[0]))
        assert edge.unique().numel() == edge.numel()
    assert torch.equal(node.sort()[0], torch.cat([seeds, row[edge]]).unique())


def test_neighbor_sample_with_repeated_seeds():
    colptr, row = random_graph()
    seeds = torch.tensor([7, 9, 7])
    node, local_row, local_col, edge = ops.neighbor_sample(colptr, row, seeds, [-1], False, False)
    assert node[:3].tolist() == seeds.tolist()
    check_edges(colptr, row, node, node, local_row, local_col, edge)
    assert 2 not in local_row
    assert torch.equal(edge[local_col == 0], edge[local_col == 2])
    assert sorted(edge[local_col != 2].tolist()) == all_edges(colptr, row, node, node)


@pytest.mark.parametrize("replace", [True, False])
def test_neighbor_sample_is_uniform(replace):
    colptr, row = torch.tensor([0, 6, 6, 6, 6, 6, 6, 6]), torch.arange(1, 7)
    counts, trials = np.zeros(6), 1500
    for _ in range(trials):
        edge = ops.neighbor_sample(colptr, row, torch.tensor([0]), [2], replace, True)[3]
        np.add.at(counts, edge.numpy(), 1)
    uniform(counts, 2 / 6, trials)


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("num_neighbors", [-1, 0, 2, 50])
def test_sample_adj(num_neighbors, replace):
    rowptr, col = random_graph()
    subset = torch.tensor([5, 3, 30])
    matrix = SparseTensor(rowptr=rowptr, col=col, value=torch.arange(col.numel()), sparse_sizes=(40, 40))
    out, node = matrix.sample_adj(subset, num_neighbors, replace)
    assert node[:3].tolist() == subset.tolist()
    assert out.sparse_sizes() == (3, node.numel())
    local_row, local_col, edge = out.coo()
    assert torch.equal(node[local_col], col[edge])
    assert torch.equal(subset[local_row], column(rowptr, edge))
    degree = (rowptr[1:] - rowptr[:-1])[subset]
    wanted = degree if num_neighbors < 0 else degree.clamp(max=num_neighbors)
    if replace and num_neighbors >= 0:
        wanted = torch.where(degree > 0, num_neighbors, 0)
    assert torch.equal(out.storage.rowcount(), wanted)
    place = local_row * node.numel() + local_col
    assert bool((place[1:] >= place[:-1]).all())


def test_sample_adj_of_a_wide_matrix():
    matrix = SparseTensor(row=torch.tensor([0, 0, 1]), col=torch.tensor([5, 1, 7]), sparse_sizes=(2, 9))
    out, node = matrix.sample_adj(torch.tensor([1, 0]), -1)
    assert node.tolist() == [1, 0, 7, 5]
    assert out.to_dense().tolist() == [[0, 0, 1, 0], [1, 0, 0, 1]]


def test_random_walk():
    rowptr, col = random_graph()
    matrix = SparseTensor(rowptr=rowptr, col=col, sparse_sizes=(40, 40))
    start = torch.arange(40)
    walk = matrix.random_walk(start, 6)
    assert walk.shape == (40, 7)
    assert torch.equal(walk[:, 0], start)
    adjacent = matrix.to_dense().bool()
    for before, after in itertools.pairwise(walk.unbind(1)):
        stuck = before == 3
        assert bool(adjacent[before[~stuck], after[~stuck]].all())
        assert bool((after[stuck] == 3).all())
    step = matrix.random_walk(torch.full((4000,), 5), 1)[:, 1]
    degree = int(rowptr[6] - rowptr[5])
    uniform(torch.bincount(step, minlength=40)[col[rowptr[5] : rowptr[6]]].numpy(), 1 / degree, 4000)


def test_sample_columns():
    rowptr, col = random_graph()
    matrix = SparseTensor(rowptr=rowptr, col=col, sparse_sizes=(40, 40))
    out = torch_sparse.sample(matrix, 5)
    assert out.shape == (40, 5)
    assert out[3].tolist() == [3] * 5  # it has no entries
    filled = torch.arange(40) != 3
    assert bool(matrix.to_dense().bool()[torch.arange(40)[filled, None], out[filled]].all())
    many = torch_sparse.sample(matrix, 3000, torch.tensor([8]))[0]
    degree = int(rowptr[9] - rowptr[8])
    uniform(torch.bincount(many, minlength=40)[col[rowptr[8] : rowptr[9]]].numpy(), 1 / degree, 3000)
    assert torch_sparse.sample(SparseTensor.eye(3).remove_diag(), 2).tolist() == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize("nodes", [[4, 0, 22, 13, 5], [3], [], list(range(40)), [9, 2, 9, 30]], ids=len)
def test_saint_subgraph(nodes):
    rowptr, col = random_graph()
    matrix = SparseTensor(rowptr=rowptr, col=col, value=torch.arange(1, col.numel() + 1), sparse_sizes=(40, 40))
    nodes = torch.tensor(nodes, dtype=torch.long)
    out, edge = matrix.saint_subgraph(nodes)
    expected = matrix.to_dense()[nodes][:, nodes]
    if nodes.unique().numel() < nodes.numel():
        expected[:, 0] = 0  # of a repeated node the last place is the column
    assert torch.equal(out.to_dense(), expected)
    assert torch.equal(out.storage.value(), edge + 1)


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("depth, num_neighbors", [(0, 3), (1, 2), (2, 3), (2, -1)])
def test_ego_k_hop(depth, num_neighbors, replace):
    rowptr, col = random_graph(num_edges=120)
    roots = torch.tensor([8, 3, 17, 8])
    out = ops.ego_k_hop_sample_adj(rowptr, col, roots, depth, num_neighbors, replace)
    out_rowptr, out_col, node, edge, ptr, root = out
    assert node[root].tolist() == roots.tolist()
    assert ptr[0] == 0
    assert ptr[-1] == node.numel() == out_rowptr.numel() - 1
    local_row = ops.ptr2ind(out_rowptr, edge.numel())
    check_edges(rowptr, col, node, node, out_col, local_row, edge)
    adjacency = SparseTensor(rowptr=rowptr, col=col, sparse_sizes=(40, 40)).to_dense()
    reach = sum((torch.linalg.matrix_power(adjacency, hop) for hop in range(depth + 1)), torch.zeros(40, 40)) > 0
    for number, (begin, end) in enumerate(itertools.pairwise(ptr.tolist())):
        part = node[begin:end]
        assert bool((part[1:] > part[:-1]).all())
        assert bool(reach[roots[number], part].all())
        if num_neighbors < 0:
            assert part.numel() == reach[roots[number]].sum()
        if depth == 1:
            assert part.numel() <= num_neighbors + 1
        inside = edge[(local_row >= begin) & (local_row < end)]
        assert inside.tolist() == all_edges(rowptr, col, part, part)
    assert torch.equal(ops.ego_k_hop_sample_adj(rowptr, col, roots[0], 0, 1, False)[2], roots[:1])


def test_relabel():
    col, idx = torch.tensor([5, 9, 2, 5, 7, 9]), torch.tensor([2, 5])
    out, node = ops.relabel(col, idx)
    assert node.tolist() == [2, 5, 9, 7]
    assert out.tolist() == [1, 2, 0, 1, 3, 2]
    rowptr, col = torch.tensor([0, 2, 3, 3, 5]), torch.tensor([3, 1, 0, 2, 3])
    value = torch.rand(5)
    for bipartite in (True, False):
        pointers, out, kept, node = ops.relabel_one_hop(rowptr, col, value, torch.tensor([3, 0]), bipartite)
        assert node.tolist() == [3, 0, 2, 1]
        assert out.tolist() == [2, 0, 0, 3]
        assert pointers.tolist() == ([0, 2, 4] if bipartite else [0, 2, 4, 4, 4])
        assert torch.equal(kept, value[[3, 4, 0, 1]])


def test_index_dtypes():
    colptr, row = random_graph()
    with pytest.raises(TypeError):
        ops.neighbor_sample(colptr.float(), row, torch.tensor([0]), [1], False, True)
    with pytest.raises(TypeError):
        ops.random_walk(colptr, row, torch.tensor([0.5]), 1)


def test_reverse_cuthill_mckee_and_partition():
    rowptr, col = random_graph(num_edges=60)
    matrix = SparseTensor(rowptr=rowptr, col=col, value=torch.rand(60), sparse_sizes=(40, 40))
    out, perm = torch_sparse.reverse_cuthill_mckee(matrix)
    symmetric = matrix.to_symmetric()
    assert sorted(perm.tolist()) == list(range(40))
    assert out == symmetric.permute(perm)
    assert out.bandwidth() < symmetric.bandwidth()
    same, bounds, identity = matrix.partition(1)
    assert same is matrix
    assert bounds.tolist() == [0, 40]
    assert identity.tolist() == list(range(40))
    with pytest.raises(NotImplementedError, match="METIS"):
        matrix.partition(2)
    with pytest.raises(ValueError, match="num_parts"):
        matrix.partition(0)


@pytest.mark.parametrize("node", [-2, 9])
@pytest.mark.parametrize(
    "call",
    [
        lambda ptr, col, nodes: torch_sparse.neighbor_sample(ptr, col, nodes, [], False, True),
        lambda ptr, col, nodes: torch_sparse.neighbor_sample(ptr, col, nodes, [], False, False),
        lambda ptr, col, nodes: torch_sparse.ego_k_hop_sample_adj(ptr, col, nodes, 0, 1, False),
        lambda ptr, col, nodes: _sampling.relabel_one_hop(ptr, col, None, nodes, False),
        lambda ptr, col, nodes: _sampling.saint_subgraph(nodes, ptr, col, col),
        lambda ptr, col, nodes: SparseTensor(rowptr=ptr, col=col).sample(1, nodes),
    ],
)
def test_nodes_that_are_not_there(call, node):
    with pytest.raises(ValueError, match="must be in"):
        call(torch.tensor([0, 1, 2, 2]), torch.tensor([1, 2]), torch.tensor([node, node]))
