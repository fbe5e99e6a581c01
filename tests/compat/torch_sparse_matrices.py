"""Small matrices of every kind, as triplets in NumPy, and their dense counterparts; graphs to sample from."""

import numpy as np
import torch

from graphkern.compat.torch_sparse import SparseTensor

# name -> (sizes, number of entries, an empty row and column in the middle)
SHAPES = {
    "square": ((6, 6), 14, False),
    "wide": ((4, 9), 17, True),
    "tall": ((9, 4), 15, True),
    "full": ((5, 5), 25, False),
    "one_row": ((1, 7), 4, False),
    "one_column": ((7, 1), 4, False),
    "one_place": ((1, 1), 1, False),
    "no_entries": ((4, 3), 0, False),
    "no_rows": ((0, 3), 0, False),
    "no_columns": ((3, 0), 0, False),
}
NAMES = list(SHAPES)
SQUARE = ["square", "full", "one_place"]
FILLED = [name for name, (_, entries, _) in SHAPES.items() if entries]


def triplets(name, components=(), seed=0):
    """row, col (in order, none twice) and value [E, *] of small integers other than 0, float64."""
    (rows, cols), entries, holes = SHAPES[name]
    random = np.random.default_rng(seed)
    places = np.arange(rows * cols)
    if holes:
        places = places[(places // cols != rows // 2) & (places % cols != cols // 2)]
    place = np.sort(random.choice(places, entries, replace=False)) if entries else places[:0]
    value = random.integers(1, 9, (entries, *components)) * random.choice([-1.0, 1.0], (entries, *components))
    return place // max(cols, 1), place % max(cols, 1), value


def sparse(name, dtype=torch.float64, components=(), seed=0, has_value=True):
    row, col, value = triplets(name, components, seed)
    value = torch.from_numpy(value).to(dtype) if has_value else None
    return SparseTensor(row=torch.from_numpy(row), col=torch.from_numpy(col), value=value, sparse_sizes=SHAPES[name][0])


def dense(name, components=(), seed=0, has_value=True):
    """[M, N, *] float64; without values, ones."""
    row, col, value = triplets(name, components, seed)
    out = np.zeros((*SHAPES[name][0], *(components if has_value else ())))
    out[row, col] = value if has_value else 1
    return out


def stored(name, seed=0):
    """[M, N] True where an entry is."""
    row, col, _ = triplets(name, (), seed)
    out = np.zeros(SHAPES[name][0], dtype=bool)
    out[row, col] = True
    return out


def check(matrix, expected, where=None):
    """matrix is in order, its values are those of expected [M, N, *], and its entries lie where `where` says."""
    row, col, _ = matrix.coo()
    assert tuple(matrix.sizes()) == expected.shape
    place = row * max(matrix.sparse_size(1), 1) + col
    assert bool((place[1:] > place[:-1]).all())
    assert (
        matrix.storage.rowptr().tolist() == np.searchsorted(row.numpy(), np.arange(matrix.sparse_size(0) + 1)).tolist()
    )
    np.testing.assert_allclose(matrix.to_dense(torch.float64).numpy(), expected)
    if where is not None:
        found = np.zeros(where.shape, dtype=bool)
        found[row, col] = True
        np.testing.assert_array_equal(found, where)
        assert matrix.nnz() == where.sum()
    caches_agree(matrix.storage)


def caches_agree(storage):
    """What a storage keeps is what it would compute anew."""
    fresh = SparseTensor(row=storage.row(), col=storage.col(), sparse_sizes=storage.sparse_sizes()).storage
    for key in ("rowptr", *storage.cached_keys()):
        assert torch.equal(getattr(storage, key)(), getattr(fresh, key)()), key


def random_graph(num_nodes=40, num_edges=300, num_sources=None, seed=0):
    """colptr [N + 1] and row [E] of a graph without parallel edges; node 3 has no edges."""
    random = np.random.default_rng(seed)
    num_sources = num_sources or num_nodes
    places = np.arange(num_nodes * num_sources)
    places = places[places // num_sources != 3]
    place = np.sort(random.choice(places, num_edges, replace=False))
    counts = np.bincount(place // num_sources, minlength=num_nodes)
    return torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])), torch.from_numpy(place % num_sources)


def column(colptr, edge):
    """The node that each edge leads to."""
    return torch.searchsorted(colptr, edge, right=True) - 1


def check_edges(colptr, row, sources, destinations, local_row, local_col, edge):
    assert torch.equal(sources[local_row], row[edge])
    assert torch.equal(destinations[local_col], column(colptr, edge))


def all_edges(colptr, row, sources, destinations):
    """Positions of all edges between two sets of nodes."""
    inside = torch.isin(row, sources) & torch.isin(column(colptr, torch.arange(row.numel())), destinations)
    return inside.nonzero().view(-1).tolist()


def uniform(counts, share, trials):
    """Within 5 standard deviations of a binomial count."""
    deviation = np.sqrt(trials * share * (1 - share))
    assert (abs(np.asarray(counts) - trials * share) < 5 * deviation).all(), counts
