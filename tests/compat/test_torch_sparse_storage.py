"""SparseStorage and SparseTensor: construction, caches, layouts, conversions, indexing."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse
import torch

from graphkern.compat.torch_sparse import SparseStorage, SparseTensor
from graphkern.compat.torch_sparse.storage import get_layout
from tests.compat.torch_sparse_matrices import FILLED, NAMES, SHAPES, check, dense, sparse, stored, triplets

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Sparse:UserWarning"),  # torch's of its own sparse tensors
]


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_entries_come_into_order(name, shuffled):
    row, col, value = triplets(name)
    order = np.random.default_rng(1).permutation(len(row)) if shuffled else np.arange(len(row))
    row, col, value = (torch.from_numpy(array[order]) for array in (row, col, value))
    check(SparseTensor(row=row, col=col, value=value, sparse_sizes=SHAPES[name][0]), dense(name), stored(name))


@pytest.mark.parametrize("name", NAMES)
def test_cache_against_scipy(name):
    storage = sparse(name).storage
    assert storage.cached_keys() == []
    storage.fill_cache_()
    rows, cols = SHAPES[name][0]
    row, col, _ = triplets(name)
    by_column = np.lexsort((row, col))
    assert storage.rowcount().tolist() == np.bincount(row, minlength=rows).tolist()
    assert storage.colcount().tolist() == np.bincount(col, minlength=cols).tolist()
    assert storage.rowptr().tolist() == [0, *np.cumsum(np.bincount(row, minlength=rows)).tolist()]
    assert storage.colptr().tolist() == [0, *np.cumsum(np.bincount(col, minlength=cols)).tolist()]
    assert storage.csr2csc().tolist() == by_column.tolist()
    assert storage.csc2csr().tolist() == np.argsort(by_column).tolist()
    assert storage.cached_keys() == ["rowcount", "colptr", "colcount", "csr2csc", "csc2csr"]
    assert storage.num_cached_keys() == 5
    storage.clear_cache_()
    assert storage.cached_keys() == []
    assert storage.has_rowptr()


def test_what_is_computed_is_kept():
    storage = sparse("wide").storage
    assert not storage.has_rowptr()
    assert storage.rowptr() is storage.rowptr()
    assert storage.csr2csc() is storage.csr2csc()
    assert storage.colcount() is storage.colcount()
    by_pointers = SparseStorage(rowptr=storage.rowptr(), col=storage.col(), is_sorted=True)
    assert not by_pointers.has_row()
    assert torch.equal(by_pointers.row(), storage.row())


def test_sizes_are_found():
    index = torch.tensor([[0, 3], [5, 1]])
    assert SparseTensor.from_edge_index(index).sparse_sizes() == (4, 6)
    assert SparseTensor.from_edge_index(index, sparse_sizes=(None, 9)).sparse_sizes() == (4, 9)
    assert SparseTensor(rowptr=torch.tensor([0, 1, 1]), col=torch.tensor([4])).sparse_sizes() == (2, 5)
    assert SparseStorage.empty().sparse_sizes() == (0, 0)


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
@pytest.mark.parametrize("name", NAMES)
def test_set_value_in_each_layout(name, layout):
    matrix = sparse(name, has_value=False)
    row, col, value = triplets(name)
    order = np.lexsort((row, col)) if layout == "csc" else np.arange(len(row))
    check(matrix.set_value(torch.from_numpy(value[order]), layout), dense(name))
    assert not matrix.has_value()
    assert matrix.set_value_(torch.from_numpy(value[order]), layout) is matrix
    check(matrix, dense(name))
    assert not matrix.set_value(None).has_value()


def test_unset_layout_warns():
    with pytest.warns(UserWarning, match="layout"):
        assert get_layout() == "coo"
    with pytest.raises(ValueError, match="layout"):
        get_layout("dense")


@pytest.mark.parametrize("sizes", [(6, 6), (9, 6), (6, 11), (12, 8)])
def test_resize_pads(sizes):
    matrix = sparse("square").fill_cache_().sparse_resize(sizes)
    expected = np.zeros(sizes)
    expected[:6, :6] = dense("square")
    assert matrix.storage.num_cached_keys() == 5
    check(matrix, expected)


def test_resize_cuts_what_is_empty_only():
    matrix = sparse("square").sparse_resize((8, 9)).fill_cache_()
    check(matrix.sparse_resize((6, 6)), dense("square"))
    with pytest.raises(ValueError, match="row"):
        matrix.sparse_resize((3, 9))
    with pytest.raises(ValueError, match="col"):
        matrix.sparse_resize((8, 3))


@pytest.mark.parametrize("shape", [(3, 12), (12, 3), (36, 1), (1, 36), (-1, 4), (4, -1)])
def test_reshape_like_numpy(shape):
    check(sparse("square").sparse_reshape(*shape), dense("square").reshape(shape))


@pytest.mark.parametrize("shape", [(5, 7), (0, 36), (-1, -1), (-1, 7)])
def test_reshape_to_another_size_raises(shape):
    with pytest.raises(ValueError, match="reshape"):
        sparse("square").sparse_reshape(*shape)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.float16])
@pytest.mark.parametrize("components", [(), (3,)])
@pytest.mark.parametrize("reduce", ["sum", "add", "mean", "min", "max"])
def test_coalesce(reduce, components, dtype):
    random = np.random.default_rng(2)
    place = random.integers(0, 12, 40)
    value = random.integers(-9, 10, (40, *components))
    matrix = SparseTensor(
        row=torch.from_numpy(place // 4), col=torch.from_numpy(place % 4), value=torch.from_numpy(value).to(dtype)
    )
    assert not matrix.is_coalesced()
    matrix = matrix.coalesce(reduce)
    assert matrix.is_coalesced()
    assert matrix.coalesce(reduce).storage.col() is matrix.storage.col()
    function = {"sum": np.sum, "add": np.sum, "min": np.min, "max": np.max, "mean": np.mean}[reduce]
    expected = np.stack([function(value[place == p], axis=0) for p in np.unique(place)])
    if dtype == torch.int64:
        expected = np.trunc(expected)
    assert matrix.storage.row().tolist() == (np.unique(place) // 4).tolist()
    np.testing.assert_allclose(
        matrix.storage.value().double(), expected, rtol=2e-3 if dtype == torch.float16 else 1e-12
    )


@pytest.mark.parametrize("components", [(), (2,), (2, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_dense_and_back(name, components):
    expected = dense(name, components)
    check(SparseTensor.from_dense(torch.from_numpy(expected)), expected, stored(name))
    assert not SparseTensor.from_dense(torch.from_numpy(expected), has_value=False).has_value()


@pytest.mark.parametrize("name", NAMES)
def test_torch_sparse_and_back(name):
    matrix, expected = sparse(name), dense(name)
    coo, csr, csc = (getattr(matrix, f"to_torch_sparse_{layout}_tensor")() for layout in ("coo", "csr", "csc"))
    assert (coo.layout, csr.layout, csc.layout) == (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)
    for tensor in (coo, csr, csc):
        np.testing.assert_array_equal(tensor.to_dense().numpy(), expected)
    assert SparseTensor.from_torch_sparse_coo_tensor(coo) == matrix
    assert SparseTensor.from_torch_sparse_csr_tensor(csr) == matrix
    assert not SparseTensor.from_torch_sparse_csr_tensor(csr, has_value=False).has_value()
    ones = matrix.set_value(None).to_torch_sparse_csr_tensor(torch.float16)
    assert ones.dtype == torch.float16
    np.testing.assert_array_equal(ones.to_dense().numpy(), stored(name))


@pytest.mark.parametrize("kind", ["coo", "csr", "csc"])
@pytest.mark.parametrize("name", [name for name in NAMES if 0 not in SHAPES[name][0]])
def test_scipy_and_back(name, kind):
    matrix = sparse(name)
    there = matrix.to_scipy(layout=kind)
    assert there.format == kind
    np.testing.assert_array_equal(there.toarray(), dense(name))
    back = SparseTensor.from_scipy(there)
    assert back == matrix
    check(back, dense(name), stored(name))
    np.testing.assert_array_equal(matrix.set_value(None).to_scipy(layout=kind).toarray(), stored(name))


def test_scipy_without_order():
    there = scipy.sparse.csr_matrix((np.array([1.0, 2.0]), np.array([3, 0]), np.array([0, 2])), (1, 4))
    assert SparseTensor.from_scipy(there).coo()[1].tolist() == [0, 3]
    with pytest.raises(ValueError, match="scalars"):
        sparse("square", components=(2,)).to_scipy("coo")


@pytest.mark.parametrize("sizes", [(4, 4), (3, 5), (5, 3), (0, 2)])
@pytest.mark.parametrize("fill_cache", [False, True])
def test_eye(sizes, fill_cache):
    matrix = SparseTensor.eye(*sizes, fill_cache=fill_cache, dtype=torch.float64)
    assert matrix.storage.num_cached_keys() == (5 if fill_cache else 0)
    check(matrix, np.eye(*sizes))
    assert not SparseTensor.eye(*sizes, has_value=False).has_value()
    assert SparseTensor.eye(sizes[0]).sparse_sizes() == (sizes[0], sizes[0])


# one index of each kind for an axis of that size
INDICES = [
    2, -1, slice(None), slice(1, 3), slice(-3, None), slice(3, 1), slice(2, 99), [2, 0, 2], np.array([1, 3]),
    torch.tensor([3, 3, 1]), torch.tensor([], dtype=torch.long), "mask", "mask list", "mask array",
]  # fmt: skip


def _index(kind, size):
    if not isinstance(kind, str):
        return kind
    mask = np.random.default_rng(size).random(size) < 0.5
    return {"mask": torch.from_numpy(mask), "mask list": mask.tolist(), "mask array": mask}[kind]


def _expected(array, axis, index):
    index = slice(index, index + 1 or None) if isinstance(index, int) else index
    index = index.numpy() if isinstance(index, torch.Tensor) else index
    return array[(slice(None),) * axis + (index,)]


@pytest.mark.parametrize("first", INDICES, ids=str)
def test_index_rows_then_columns(first):
    matrix, expected = sparse("wide", components=(4,)), dense("wide", (4,))
    first = _index(first, 4)
    rows = _expected(expected, 0, first)
    np.testing.assert_array_equal(matrix[first].to_dense().numpy(), rows)
    for second in (-2, slice(1, 8, None), [8, 0, 5, 5], _index("mask", 9)):
        both = _expected(rows, 1, second)
        np.testing.assert_array_equal(matrix[first, second].to_dense().numpy(), both)
        np.testing.assert_array_equal(matrix[first, second, 1:3].to_dense().numpy(), both[:, :, 1:3])
    np.testing.assert_array_equal(matrix[..., first].to_dense().numpy(), _expected(expected, 2, first))
    np.testing.assert_array_equal(matrix[first, ..., 2].to_dense().numpy(), rows[:, :, 2:3])


@pytest.mark.parametrize(
    "index, error",
    [
        ((..., ...), SyntaxError), (slice(0, 4, 2), ValueError), (7, IndexError), (-5, IndexError),
        (torch.tensor([4]), IndexError), (torch.ones(3, dtype=torch.bool), IndexError), ((0, 0, 0), IndexError),
        (None, SyntaxError), ("a", SyntaxError), (torch.zeros(2, 2, dtype=torch.long), ValueError),
    ],
    ids=str,
)  # fmt: skip
def test_bad_index(index, error):
    with pytest.raises(error):
        sparse("wide")[index]


BAD = {
    "row too large": ({"row": [4], "col": [0]}, ValueError),
    "col too large": ({"row": [0], "col": [5]}, ValueError),
    "negative row": ({"row": [-1], "col": [0]}, ValueError),
    "negative col": ({"row": [0], "col": [-1]}, ValueError),
    "lengths differ": ({"row": [0, 1], "col": [0]}, ValueError),
    "no row": ({"col": [0]}, ValueError),
    "no col": ({"row": [0]}, ValueError),
    "rowptr of another length": ({"rowptr": [0, 1], "col": [0]}, ValueError),
    "rowptr decreases": ({"rowptr": [0, 2, 1, 2, 2], "col": [0, 1]}, ValueError),
    "rowptr ends early": ({"rowptr": [0, 0, 0, 0, 1], "col": [0, 1]}, ValueError),
    "rowptr begins late": ({"rowptr": [1, 1, 1, 1, 2], "col": [0, 1]}, ValueError),
    "value of another length": ({"row": [0], "col": [0], "value": [1, 2]}, ValueError),
    "colptr of another length": ({"row": [0], "col": [0], "colptr": [0, 1]}, ValueError),
    "rowcount of another length": ({"row": [0], "col": [0], "rowcount": [1]}, ValueError),
    "csr2csc of another length": ({"row": [0], "col": [0], "csr2csc": [0, 1]}, ValueError),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_storage(name):
    given, error = BAD[name]
    with pytest.raises(error):
        SparseStorage(sparse_sizes=(4, 5), **{key: torch.tensor(numbers) for key, numbers in given.items()})


@pytest.mark.parametrize("given", ["row", "rowptr", "col", "csc2csr"])
def test_indices_must_be_int64(given):
    tensors = {"row": [0], "rowptr": [0, 1], "col": [0], "csc2csr": [0]}
    tensors = {key: torch.tensor(value, dtype=torch.int32 if key == given else None) for key, value in tensors.items()}
    with pytest.raises(TypeError, match=given):
        SparseStorage(**tensors)


def test_trusted_data_never_leads_out_of_bounds():
    matrix = SparseTensor(row=torch.tensor([0, 7]), col=torch.tensor([9, 1]), sparse_sizes=(2, 2), trust_data=True)
    for use in (lambda: matrix @ torch.ones(2, 1), lambda: matrix @ matrix, lambda: matrix.t(), matrix.to_dense):
        with pytest.raises((ValueError, IndexError, RuntimeError)):
            use()


@pytest.mark.parametrize("name", ["wide", "no_entries"])
def test_copies(name):
    matrix = sparse(name).fill_cache_()
    shared, cloned = matrix.copy(), matrix.clone()
    assert shared.storage.col() is matrix.storage.col()
    assert cloned.storage.col() is not matrix.storage.col()
    for other in (shared, cloned, copy.deepcopy(matrix), pickle.loads(pickle.dumps(matrix))):
        assert other == matrix
        assert other.storage.num_cached_keys() == 5
        assert other.storage != matrix.storage
    shared.clear_cache_()
    assert matrix.storage.num_cached_keys() == 5


def test_equality():
    matrix = sparse("wide")
    assert matrix == sparse("wide")
    assert matrix != sparse("wide", has_value=False)
    assert matrix != sparse("wide", seed=1)
    assert matrix != matrix.sparse_resize((4, 10))
    assert matrix != "wide"


CASTS = {
    "half": torch.half, "float": torch.float, "double": torch.double, "bfloat16": torch.bfloat16, "int": torch.int,
    "long": torch.long, "short": torch.short, "char": torch.int8, "byte": torch.uint8, "bool": torch.bool,
}  # fmt: skip


@pytest.mark.parametrize("name", CASTS)
def test_casts(name):
    matrix = sparse("square", torch.float32)
    dtype = CASTS[name]
    for out in (
        getattr(matrix, name)(),
        matrix.to(dtype),
        matrix.type(dtype),
        matrix.type_as(torch.empty(0, dtype=dtype)),
    ):
        assert out.dtype() == dtype
        assert torch.equal(out.storage.value(), matrix.storage.value().to(dtype))
    assert getattr(matrix.set_value(None), name)().storage.value() is None


def test_device_and_memory():
    matrix = sparse("square").fill_cache_()
    assert matrix.to("cpu") is matrix.cpu() is matrix.to_device("cpu") is matrix
    assert matrix.to("cpu", torch.float32).dtype() == torch.float32
    assert not matrix.is_cuda()
    assert not matrix.is_shared()
    assert matrix.share_memory_() is matrix
    assert matrix.is_shared()
    there = matrix.to("meta")
    assert there.device() == torch.device("meta")
    assert there.storage.num_cached_keys() == 5


@pytest.mark.parametrize("has_value", [True, False])
@pytest.mark.parametrize("name", FILLED)
def test_numbers(name, has_value):
    matrix, where = sparse(name, has_value=has_value), stored(name)
    row, col = where.nonzero()
    assert matrix.nnz() == matrix.numel() == where.sum()
    assert matrix.dim() == 2
    assert [matrix.size(0), matrix.size(1)] == list(where.shape)
    assert matrix.density() == pytest.approx(where.mean())
    assert matrix.sparsity() == pytest.approx(1 - where.mean())
    assert matrix.avg_row_length() == pytest.approx(where.sum() / where.shape[0])
    assert matrix.avg_col_length() == pytest.approx(where.sum() / where.shape[1])
    assert matrix.bandwidth() == abs(row - col).max()
    assert matrix.avg_bandwidth() == pytest.approx(abs(row - col).mean())
    assert matrix.bandwidth_proportion(1) == pytest.approx((abs(row - col) <= 1).mean())
    assert matrix.is_quadratic() == (where.shape[0] == where.shape[1])
    assert f"nnz={where.sum()}" in repr(matrix)
    assert ("val=" in repr(matrix)) == has_value
    assert matrix.is_floating_point()


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("name", NAMES)
def test_to_symmetric(name, reduce):
    matrix, size = sparse(name), max(SHAPES[name][0])
    rows, cols = SHAPES[name][0]
    values = np.full((2, size, size), np.nan)
    values[0, :rows, :cols] = np.where(stored(name), dense(name), np.nan)
    values[1] = values[0].T
    where = ~np.isnan(values).all(0)
    some = np.where(where, values, 0)
    expected = {"sum": np.nansum, "mean": np.nanmean, "max": np.nanmax}[reduce](some, axis=0)
    out = matrix.to_symmetric(reduce)
    check(out, expected, where)
    assert out.is_symmetric()
    assert matrix.is_symmetric() == (rows == cols and np.array_equal(dense(name), dense(name).T))


def test_values_take_gradients():
    matrix = sparse("square", has_value=False)
    assert not matrix.requires_grad()
    assert matrix.requires_grad_(dtype=torch.float64).requires_grad()
    (matrix.to_dense() * 3).sum().backward()
    assert torch.equal(matrix.storage.value().grad, torch.full((matrix.nnz(),), 3.0, dtype=torch.float64))
    assert not matrix.detach().requires_grad()
    assert matrix.requires_grad()
    assert not matrix.detach_().requires_grad()
    assert matrix.fill_value(2.0).storage.value().tolist() == [2.0] * matrix.nnz()
    assert matrix.fill_value_(5, dtype=torch.int32) is matrix
    assert matrix.dtype() == torch.int32
