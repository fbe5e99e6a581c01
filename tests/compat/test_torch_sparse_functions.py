"""What becomes of a matrix: selections, sums, products, diagonals, concatenation, reductions, against NumPy."""

import numpy as np
import pytest
import scipy.sparse
import torch
from torch.autograd import gradcheck

from graphkern.compat import torch_sparse
from graphkern.compat.torch_sparse import SparseTensor
from graphkern.compat.torch_sparse.reduce import reduction
from tests.compat.torch_sparse_matrices import (
    FILLED,
    NAMES,
    SHAPES,
    SQUARE,
    caches_agree,
    check,
    dense,
    sparse,
    stored,
    triplets,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_transpose(name, cached):
    matrix = sparse(name, components=(2,))
    if cached:
        matrix.fill_cache_()
    out = matrix.t()
    check(out, dense(name, (2,)).transpose(1, 0, 2), stored(name).T)
    assert out.storage.num_cached_keys() == (5 if cached else 1)
    assert out.t() == matrix


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1, -2, 2])
@pytest.mark.parametrize("name", ["square", "wide", "tall", "no_entries"])
def test_narrow(name, dim, cached):
    matrix, expected = sparse(name, components=(3,)), dense(name, (3,))
    if cached:
        matrix.fill_cache_()
    size = expected.shape[dim]
    for start, length in ((0, size), (1, size - 1), (size - 1, 1), (-2, 1), (1, 0)):
        part = np.take(expected, range(start % size, start % size + length), dim)
        out = matrix.narrow(dim, start, length)
        np.testing.assert_array_equal(out.to_dense().numpy(), part)
        caches_agree(out.storage)
    np.testing.assert_array_equal(matrix.select(dim, -1).to_dense().numpy(), expected.take([-1], dim))
    with pytest.raises(IndexError):
        matrix.narrow(dim, 1, size)


@pytest.mark.parametrize("dim", [0, 1, 2, -2])
@pytest.mark.parametrize("name", ["square", "wide", "tall", "no_entries"])
def test_index_and_mask(name, dim):
    matrix, expected = sparse(name, components=(4,)), dense(name, (4,))
    index = torch.tensor([2, 0, 2, 1])
    out = matrix.index_select(dim, index)
    np.testing.assert_array_equal(out.to_dense().numpy(), expected.take(index.numpy(), dim))
    caches_agree(out.storage)
    mask = np.random.default_rng(0).random(expected.shape[dim]) < 0.6
    out = matrix.masked_select(dim, torch.from_numpy(mask))
    np.testing.assert_array_equal(out.to_dense().numpy(), expected.compress(mask, dim))
    caches_agree(out.storage)
    with pytest.raises((IndexError, RuntimeError)):  # the latter is torch's own for components
        matrix.index_select(dim, torch.tensor([99]))
    with pytest.raises(IndexError):
        matrix.masked_select(dim, torch.ones(99, dtype=torch.bool))


@pytest.mark.parametrize("layout", ["coo", "csc"])
@pytest.mark.parametrize("has_value", [True, False])
@pytest.mark.parametrize("name", FILLED)
def test_entries_by_index_and_mask(name, has_value, layout):
    matrix = sparse(name, has_value=has_value)
    row, col, _ = triplets(name)
    order = np.lexsort((row, col)) if layout == "csc" else np.arange(len(row))
    chosen = np.arange(0, len(row), 2)
    expected, where = np.zeros(SHAPES[name][0]), np.zeros(SHAPES[name][0], dtype=bool)
    where[row[order[chosen]], col[order[chosen]]] = True
    expected[where] = dense(name, has_value=has_value)[where]
    check(matrix.index_select_nnz(torch.from_numpy(chosen), layout), expected, where)
    mask = torch.zeros(len(row), dtype=torch.bool)
    mask[chosen] = True
    check(matrix.masked_select_nnz(mask, layout), expected, where)
    with pytest.raises(IndexError):
        matrix.masked_select_nnz(mask[1:], layout)


@pytest.mark.parametrize("name", SQUARE)
def test_permute(name):
    size = SHAPES[name][0][0]
    perm = np.random.default_rng(3).permutation(size)
    check(sparse(name).permute(torch.from_numpy(perm)), dense(name)[perm][:, perm], stored(name)[perm][:, perm])
    with pytest.raises(ValueError, match="square"):
        sparse("wide").permute(torch.arange(4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
@pytest.mark.parametrize("has_value", [True, False])
@pytest.mark.parametrize("by_row", [True, False])
@pytest.mark.parametrize("name", ["wide", "tall", "one_row"])
def test_add_and_mul_dense(name, by_row, has_value, dtype):
    rows, cols = SHAPES[name][0]
    other = torch.arange(1, 1 + (rows if by_row else cols)).to(dtype).view(*((-1, 1) if by_row else (1, -1)))
    matrix, where = sparse(name, dtype, has_value=has_value), stored(name)
    total = np.where(where, dense(name, has_value=has_value) + other.numpy(), 0)
    product = dense(name, has_value=has_value) * other.numpy()
    for out in (matrix + other, other + matrix, torch_sparse.add(matrix, other)):
        np.testing.assert_array_equal(out.to_dense().numpy(), total)
    for out in (matrix * other, other * matrix, torch_sparse.mul(matrix, other)):
        np.testing.assert_array_equal(out.to_dense().numpy(), product)
    summed, scaled = matrix.clone(), matrix.clone()
    value = summed.storage.value()
    summed += other
    scaled *= other
    np.testing.assert_array_equal(summed.to_dense().numpy(), total)
    np.testing.assert_array_equal(scaled.to_dense().numpy(), product)
    assert summed.storage.value() is value or not has_value
    with pytest.raises(ValueError, match="other"):
        matrix + torch.ones(rows + 1, cols + 1)


@pytest.mark.parametrize("has_value", [True, False])
@pytest.mark.parametrize("layout", ["coo", "csc"])
@pytest.mark.parametrize("name", ["wide", "tall"])
def test_add_and_mul_per_entry(name, layout, has_value):
    matrix = sparse(name, has_value=has_value)
    before = torch.ones(matrix.nnz()) if not has_value else matrix.storage.value().clone()
    other = torch.arange(matrix.nnz()).float()
    for function, result in (("add_nnz", before + other), ("mul_nnz", before * other)):
        expected = sparse(name).set_value(result, layout)
        assert getattr(matrix, function)(other, layout).to_dense().tolist() == expected.to_dense().tolist()
        changed = matrix.clone()
        assert getattr(changed, function + "_")(other, layout) is changed
        assert changed.to_dense().tolist() == expected.to_dense().tolist()


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32])
@pytest.mark.parametrize("components", [(), (2,)])
@pytest.mark.parametrize("name", NAMES)
def test_add_and_mul_sparse(name, components, dtype):
    a, b = (sparse(name, dtype, components, seed) for seed in (0, 1))
    check(a + b, dense(name, components, 0) + dense(name, components, 1), stored(name, 0) | stored(name, 1))
    check(a * b, dense(name, components, 0) * dense(name, components, 1), stored(name, 0) & stored(name, 1))
    check(a.set_value(None) + b, (stored(name, 0) | stored(name, 1)).astype(float))


def test_sparse_products_that_cannot_be():
    twice = SparseTensor(row=torch.tensor([0, 0]), col=torch.tensor([1, 1]), value=torch.ones(2))
    for a, b in ((twice, twice.coalesce()), (twice.coalesce(), twice)):
        with pytest.raises(ValueError, match="coalesced"):
            a * b
    with pytest.raises(ValueError, match="values"):
        twice.coalesce() * twice.coalesce().set_value(None)


@pytest.mark.parametrize(
    "k, cached", [(0, False), (0, True), (1, True), (-1, False), (3, False), (-4, True), (99, True)]
)
@pytest.mark.parametrize("name", NAMES)
def test_diagonals(name, cached, k):
    matrix, expected, where = sparse(name, components=(2,)), dense(name, (2,)), stored(name)
    if cached:
        matrix.fill_cache_()
    diagonal = np.eye(*SHAPES[name][0], k, dtype=bool)
    removed = matrix.remove_diag(k)
    assert removed.storage.num_cached_keys() == (2 if cached else 0)
    check(removed, np.where(diagonal[..., None], 0, expected), where & ~diagonal)
    check(matrix.set_diag(k=k), np.where(diagonal[..., None], 1, expected), where | diagonal)
    check(matrix.fill_diag(7.0, k), np.where(diagonal[..., None], 7, expected), where | diagonal)
    values = torch.arange(1.0, 1 + 2 * diagonal.sum()).view(-1, 2)
    some = expected.copy()
    some[diagonal] = values.numpy()
    check(matrix.set_diag(values, k), some, where | diagonal)
    pattern = matrix.set_value(None)
    check(pattern.fill_diag(7.0, k), (where | diagonal).astype(float), where | diagonal)
    if k == 0:
        size = min(SHAPES[name][0])
        np.testing.assert_array_equal(matrix.get_diag(), expected[np.arange(size), np.arange(size)])
        np.testing.assert_array_equal(pattern.get_diag(), where.diagonal())


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1, (0, 1), [1, 0]], ids=str)
@pytest.mark.parametrize("name", ["square", "wide", "no_entries", "no_rows"])
def test_cat(name, dim, cached):
    parts = [sparse(name, seed=seed) for seed in range(3)] + [sparse("one_place")]
    if cached:
        [part.fill_cache_() for part in parts]
    arrays = [dense(name, seed=seed) for seed in range(3)] + [dense("one_place")]
    if dim == 0:
        width = max(array.shape[1] for array in arrays)
        expected = np.concatenate([np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in arrays], 0)
    elif dim in (1, -1):
        height = max(array.shape[0] for array in arrays)
        expected = np.concatenate([np.pad(a, ((0, height - a.shape[0]), (0, 0))) for a in arrays], 1)
    else:
        expected = scipy.sparse.block_diag([scipy.sparse.coo_matrix(array) for array in arrays]).toarray()
    out = torch_sparse.cat(parts, dim)
    check(out, expected)
    kept = {0: 1, 1: 2, -1: 2}.get(dim, 5) if not isinstance(dim, (list, tuple)) else 5
    assert out.storage.num_cached_keys() == (kept if cached else 0)
    if isinstance(dim, (list, tuple)):
        place = [arrays[0].shape[0], arrays[0].shape[1]]
        assert out.__narrow_diag__(place, (arrays[1].shape[0], arrays[1].shape[1])) == parts[1]
        caches_agree(out.__narrow_diag__(place, (arrays[1].shape[0], arrays[1].shape[1])).storage)


def test_cat_of_components_and_of_nothing():
    matrix = sparse("wide", components=(2,))
    out = torch_sparse.cat([matrix, matrix], 2)
    np.testing.assert_array_equal(out.to_dense().numpy(), np.concatenate([dense("wide", (2,))] * 2, 2))
    assert not torch_sparse.cat([matrix, matrix.set_value(None)], 0).has_value()
    by_pointers = SparseTensor(rowptr=matrix.storage.rowptr(), col=matrix.storage.col(), is_sorted=True)
    mixed = torch_sparse.cat([by_pointers, sparse("wide", has_value=False)], 0)
    np.testing.assert_array_equal(mixed.to_dense().numpy(), np.concatenate([stored("wide")] * 2))
    for tensors, dim, error in (([], 0, ValueError), ([matrix], 3, IndexError), ([matrix], (0, 2), IndexError)):
        with pytest.raises(error):
            torch_sparse.cat(tensors, dim)


def _reduced(name, dim, reduce, components):
    """Over stored entries only; 0 where there are none."""
    value = np.where(stored(name)[(..., *[None] * len(components))], dense(name, components), np.nan)
    function = {"sum": np.nansum, "mean": np.nanmean, "min": np.nanmin, "max": np.nanmax}[reduce]
    empty = np.isnan(value).all(dim)
    filled = np.where(np.expand_dims(empty, dim) if dim is not None else empty, 0, value)
    return function(filled, dim)


# integers have no mean over all values
@pytest.mark.parametrize(
    "reduce, dtype",
    [(reduce, dtype) for reduce in ("sum", "min", "max") for dtype in (torch.float64, torch.float32, torch.int64)]
    + [("mean", torch.float64), ("mean", torch.float32)],
)
@pytest.mark.parametrize("components", [(), (3,)])
@pytest.mark.parametrize("name", ["square", "wide", "tall", "one_row"])
def test_reductions(name, components, reduce, dtype):
    matrix = sparse(name, dtype, components)
    for dim in (None, 0, 1, *(() if components else (-1, -2))):
        out = getattr(matrix, reduce)(dim)
        np.testing.assert_allclose(out.double().numpy(), _reduced(name, dim, reduce, components), rtol=1e-6)
        assert out.dtype == dtype
    for dim in (2, -1) if components else ():  # entry by entry
        expected = getattr(np, reduce)(triplets(name, components)[2], axis=1)
        np.testing.assert_allclose(getattr(matrix, reduce)(dim).double().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_reductions_without_values(name):
    matrix, where = sparse(name, has_value=False), stored(name)
    assert matrix.sum().item() == where.sum()
    for dim in (0, 1):
        assert matrix.sum(dim).tolist() == where.sum(dim).tolist()
        for reduce in ("mean", "min", "max"):
            assert getattr(matrix, reduce)().item() == 1
            assert getattr(matrix, reduce)(dim).tolist() == [1.0] * SHAPES[name][0][1 - dim]
    with pytest.raises(ValueError, match="axis"):
        matrix.sum(2)
    with pytest.raises(ValueError, match="reduce"):
        reduction(matrix, 0, "prod")


def _value_function(function, name, components=()):
    """The values of what function makes of a matrix, as a function of its values."""
    matrix = sparse(name, components=components)

    def of_value(value, *others):
        out = function(matrix.set_value(value, "coo"), *others)
        return out.storage.value() if isinstance(out, SparseTensor) else out

    value = matrix.storage.value()
    distinct = torch.arange(value.numel(), dtype=value.dtype).view_as(value) / value.numel()  # no ties in extrema
    return of_value, (value + distinct).requires_grad_()


DIFFERENTIABLE = {
    "t": lambda a: a.t(),
    "rows": lambda a: a[torch.tensor([2, 0, 2])],
    "columns": lambda a: a[:, torch.tensor([2, 0, 2])],
    "narrow": lambda a: a[1:3, 1:],
    "mask": lambda a: a.masked_select_nnz(torch.arange(a.nnz()) % 2 == 0, "csc"),
    "set_diag": lambda a: a.set_diag(),
    "get_diag": lambda a: a.get_diag(),
    "sum rows": lambda a: a.sum(1),
    "mean columns": lambda a: a.mean(0),
    "max rows": lambda a: a.max(1),
    "min columns": lambda a: a.min(0),
    "all": lambda a: a.sum(),
    "add": lambda a: a + a.t().t() + a.remove_diag(),
    "mul": lambda a: a * a.remove_diag(),
    "symmetric": lambda a: a.to_symmetric("mean"),
    "dense": lambda a: a.to_dense(),
    "csc": lambda a: a.csc()[2],
    "cat": lambda a: torch_sparse.cat([a, a], (0, 1)),
    "reshape": lambda a: a.sparse_reshape(1, -1),
}


@pytest.mark.parametrize("function", DIFFERENTIABLE)
@pytest.mark.parametrize("components", [(), (2,)])
def test_gradient_of_values(function, components):
    of_value, value = _value_function(DIFFERENTIABLE[function], "square", components)
    assert gradcheck(of_value, (value,))


@pytest.mark.parametrize("by_row", [True, False])
@pytest.mark.parametrize("function", [torch_sparse.add, torch_sparse.mul])
def test_gradient_of_rows_and_columns(function, by_row):
    of_value, value = _value_function(function, "wide")
    other = torch.rand((4, 1) if by_row else (1, 9), dtype=torch.float64, requires_grad=True)
    assert gradcheck(of_value, (value, other))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda a: a.index_select(-4, torch.tensor([0])), IndexError),
        (lambda a: a.masked_select(-4, torch.ones(2, dtype=torch.bool)), IndexError),
        (lambda a: a.narrow(-4, 0, 1), IndexError),
        (lambda a: a.narrow(3, 0, 1), IndexError),
        (lambda a: a.sum(-4), IndexError),
        (lambda a: a.index_select(0, torch.ones(a.size(0), dtype=torch.bool)), TypeError),
        (lambda a: a.masked_select(0, torch.arange(a.size(0))), TypeError),
        (lambda a: a.masked_select_nnz(torch.arange(a.nnz()), "coo"), TypeError),
        (lambda a: a[..., 0, 0, 0, 0], SyntaxError),
        (lambda a: a + 1, TypeError),
        (lambda a: a * 2, TypeError),
        (lambda a: a.sparse_resize((-1, 3)), ValueError),
        (lambda a: a.set_value(torch.ones(a.nnz() + 1), "csc"), ValueError),
    ],
)
def test_what_cannot_be_selected_or_set(call, error):
    with pytest.raises(error):
        call(sparse("square", components=(2,)))


def test_extrema_of_all_share_their_gradient():
    value = torch.ones(4, requires_grad=True)
    SparseTensor(row=torch.arange(4), col=torch.arange(4), value=value).max().backward()
    torch.testing.assert_close(value.grad, torch.full((4,), 0.25))


def test_scipy_matrices_stay_as_they_are():
    matrix = scipy.sparse.csr_matrix((np.array([1.0, 2.0]), np.array([1, 0]), np.array([0, 2])), (1, 2))
    out = SparseTensor.from_scipy(matrix)
    out.storage.value().zero_()
    np.testing.assert_array_equal(matrix.indices, [1, 0])
    np.testing.assert_array_equal(matrix.data, [1.0, 2.0])
