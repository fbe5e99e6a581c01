"""Products with dense and sparse matrices: values, positions, gradients, TorchScript, the operators."""

import gc
import weakref
from typing import Union

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from graphkern.compat import torch_sparse
from graphkern.compat.torch_sparse import SparseTensor
from graphkern.compat.torch_sparse.matmul import matmul, spmm, spmm_max, spmm_min, spspmm
from tests.compat.torch_sparse_matrices import FILLED, NAMES, SHAPES, check, dense, sparse, stored, triplets

REDUCES = ["sum", "add", "mean", "min", "max"]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2, torch.int64: 0}
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Sparse:UserWarning"),  # torch's of its own sparse tensors
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning"),
]


def right(name, features=3, batch=(), seed=5):
    """[*, N, F] of small integers."""
    return np.random.default_rng(seed).integers(-8, 9, (*batch, SHAPES[name][0][1], features)).astype(float)


def product(name, mat, reduce, has_value=True):
    """[*, M, F] and the winning entries (E where there are none), row by row."""
    row, col, value = triplets(name)
    rows = SHAPES[name][0][0]
    out = np.zeros((*mat.shape[:-2], rows, mat.shape[-1]))
    winner = np.full(out.shape, len(row))
    for r in range(rows):
        entry = np.flatnonzero(row == r)
        if len(entry) == 0:
            continue
        messages = mat[..., col[entry], :] * (value[entry][:, None] if has_value else 1)
        function = {"sum": np.sum, "add": np.sum, "mean": np.mean, "min": np.min, "max": np.max}[reduce]
        out[..., r, :] = function(messages, axis=-2)
        if reduce in ("min", "max"):
            winner[..., r, :] = entry[{"min": np.argmin, "max": np.argmax}[reduce](messages, axis=-2)]
    return out, winner


@pytest.mark.parametrize("has_value", [True, False])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize(
    "name, dtype", [(name, torch.float64) for name in NAMES] + [("wide", dtype) for dtype in TOLERANCE], ids=str
)
def test_spmm(name, dtype, reduce, has_value):
    mat = right(name)
    out = matmul(sparse(name, torch.float32, has_value=has_value), torch.from_numpy(mat).to(dtype), reduce)
    expected, _ = product(name, mat, reduce, has_value)
    if dtype == torch.int64:
        expected = np.trunc(expected)
    assert out.dtype == dtype
    np.testing.assert_allclose(out.double().numpy(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
@pytest.mark.parametrize("batch", [(2,), (2, 3)])
@pytest.mark.parametrize("reduce", REDUCES)
def test_spmm_of_a_batch(reduce, batch, dtype):
    mat = right("wide", batch=batch)
    out = sparse("wide", dtype).spmm(torch.from_numpy(mat).to(dtype), reduce)
    expected = product("wide", mat, reduce)[0]
    np.testing.assert_allclose(out.double(), np.trunc(expected) if dtype == torch.int64 else expected)


@pytest.mark.parametrize("has_value", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
@pytest.mark.parametrize("function", [spmm_min, spmm_max])
@pytest.mark.parametrize("name", NAMES)
def test_extremum_and_its_entry(name, function, dtype, has_value):
    mat = right(name, batch=(2,))
    out, winner = function(sparse(name, dtype, has_value=has_value), torch.from_numpy(mat).to(dtype))
    expected = product(name, mat, function.__name__.removeprefix("spmm_"), has_value)
    np.testing.assert_array_equal(out.numpy(), expected[0])
    np.testing.assert_array_equal(winner.numpy(), expected[1])


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("reduce", ["sum", "mean", "min", "max"])
@pytest.mark.parametrize("name", ["square", "wide", "tall", "one_row", "no_entries"])
def test_spmm_gradients(name, reduce, batch):
    matrix = sparse(name, has_value=False)
    generator = torch.Generator().manual_seed(0)
    value = torch.rand(matrix.nnz(), dtype=torch.float64, generator=generator, requires_grad=True)
    mat = torch.rand(*batch, SHAPES[name][0][1], 2, dtype=torch.float64, generator=generator, requires_grad=True)

    def of_both(value, mat):
        return matmul(matrix.set_value(value, "coo"), mat, reduce)

    assert gradcheck(of_both, (value, mat))
    assert gradcheck(lambda mat: matmul(matrix, mat, reduce), (mat,))
    if name == "square":
        assert gradgradcheck(of_both, (value, mat))


def test_a_matrix_is_transposed_once(monkeypatch):
    calls = []
    sort = torch.ops.graphkern.counting_sort
    monkeypatch.setattr(torch.ops.graphkern, "counting_sort", lambda *args: calls.append(args) or sort(*args))
    matrix, mat = sparse("square", torch.float32), torch.rand(6, 2, requires_grad=True)
    for step in range(3):
        (matrix.set_value(torch.rand(matrix.nnz()), "coo") @ mat).sum().backward()
        (matrix @ mat).sum().backward()
        assert len(calls) == 1, step


def test_what_is_kept_dies_with_the_matrix():
    matrix = sparse("square", torch.float32)
    (matrix @ torch.rand(6, 2, requires_grad=True)).sum().backward()
    col = weakref.ref(matrix.storage.col())
    del matrix
    gc.collect()
    assert col() is None


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32]
)
@pytest.mark.parametrize(
    "left, other",
    [
        ("square", "square"), ("square", "one_place"), ("wide", "tall"), ("tall", "wide"), ("no_entries", "tall"),
        ("no_rows", "no_columns"),
    ],
)  # fmt: skip
def test_spspmm(left, other, dtype):
    if SHAPES[left][0][1] != SHAPES[other][0][0]:
        with pytest.raises(ValueError, match="go with"):
            sparse(left, dtype) @ sparse(other, dtype)
        return
    a, b = sparse(left, dtype), sparse(other, dtype, seed=1)
    expected = dense(left) @ dense(other, seed=1)
    where = stored(left).astype(int) @ stored(other, seed=1).astype(int) > 0
    out = a @ b
    assert out.dtype() == dtype
    check(out.double(), expected, where)
    check((a @ b.set_value(None)).double(), dense(left) @ stored(other, seed=1), where)
    pattern = a.set_value(None) @ b.set_value(None)
    assert not pattern.has_value()
    check(pattern, where.astype(float), where)


def test_spspmm_gradients():
    a, b = sparse("wide"), sparse("tall", seed=1)

    def of_values(first, second):
        return (a.set_value(first, "coo") @ b.set_value(second, "coo")).storage.value()

    values = [matrix.storage.value().requires_grad_() for matrix in (a, b)]
    assert gradcheck(of_values, values)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda a: matmul(a, torch.ones(6)), ValueError), (lambda a: matmul(a, torch.ones(5, 2)), ValueError),
        (lambda a: spmm(a, torch.ones(6, 2), "prod"), ValueError), (lambda a: matmul(a, 3), ValueError),
        (lambda a: spspmm(a, a, "max"), NotImplementedError), (lambda a: spspmm(a, a, "prod"), ValueError),
        (lambda a: a.fill_value(1.0).set_value(torch.ones(14, 2), "coo") @ torch.ones(6, 2), ValueError),
        (lambda a: a @ a.set_value(torch.ones(14, 2), "coo"), ValueError),
    ],
)  # fmt: skip
def test_products_that_cannot_be(call, error):
    with pytest.raises(error):
        call(sparse("square", torch.float32))


# the functions on index and value


@pytest.mark.parametrize("batch", [None, (), (2,)], ids=str)
@pytest.mark.parametrize(
    "name, dtype", [(name, torch.float64) for name in FILLED] + [("wide", dtype) for dtype in TOLERANCE], ids=str
)
def test_spmm_of_index_and_value(name, batch, dtype):
    row, col, value = triplets(name)
    order = np.random.default_rng(0).permutation(len(row))
    index = torch.from_numpy(np.stack([row, col])[:, order])
    mat = right(name)[:, 0] if batch is None else right(name, batch=batch)
    out = torch_sparse.spmm(
        index, torch.from_numpy(value[order]).to(dtype), *SHAPES[name][0], torch.from_numpy(mat).to(dtype)
    )
    expected = dense(name) @ (mat[:, None] if batch is None else mat)
    np.testing.assert_allclose(out.double().numpy(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_spmm_of_index_and_value_gradients_and_errors():
    index = torch.tensor([[2, 0, 2, 1], [1, 0, 1, 3]])
    value = torch.rand(4, dtype=torch.float64, requires_grad=True)
    mat = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda value, mat: torch_sparse.spmm(index, value, 3, 4, mat), (value, mat))
    with pytest.raises(ValueError, match="matrix"):
        torch_sparse.spmm(index, value, 3, 5, mat)
    with pytest.raises(ValueError, match="destination"):
        torch_sparse.spmm(index, value, 2, 4, mat)
    for size in (1, 99):
        with pytest.raises(ValueError, match="value"):
            torch_sparse.spmm(torch.tensor([[0, 1], [1, 0]]), torch.ones(size), 2, 2, torch.ones(2, 1))
    with pytest.raises(ValueError, match="source"):
        torch_sparse.spmm(index, value, 3, 3, mat[:3])


@pytest.mark.parametrize("op", ["add", "mean", "max"])
def test_coalesce_transpose_and_sum_of_indices(op):
    index = torch.tensor([[1, 0, 1, 0, 2, 1], [0, 1, 1, 1, 0, 0]])
    value = torch.tensor([[1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7]], dtype=torch.float64)
    out, reduced = torch_sparse.coalesce(index, value, 3, 2, op)
    assert out.tolist() == [[0, 1, 1, 2], [1, 0, 1, 0]]
    pairs = {"add": [6, 8, 7, 9], "mean": [3, 4, 3.5, 4.5], "max": [4, 5, 6, 7]}[op]
    assert reduced.tolist() == [pairs[:2], pairs[2:], [3, 4], [5, 6]]
    turned, moved = torch_sparse.transpose(out, reduced, 3, 2)
    assert turned.tolist() == [[0, 0, 1, 1], [1, 2, 0, 1]]
    assert moved.tolist() == [pairs[2:], [5, 6], pairs[:2], [3, 4]]
    assert torch_sparse.transpose(index, value, 3, 2, coalesced=False)[0].tolist() == index.flip(0).tolist()
    added, twice = torch_sparse.spadd(index, value, index, value, 3, 2)
    assert added.tolist() == out.tolist()
    assert torch.equal(twice, 2 * torch_sparse.coalesce(index, value, 3, 2)[1])
    assert torch_sparse.coalesce(index, None, 3, 2)[1] is None


def test_spspmm_of_indices_and_conversions():
    a, b = sparse("wide"), sparse("tall", seed=1)
    index = [torch.stack(matrix.coo()[:2]) for matrix in (a, b)]
    expected = dense("wide") @ dense("tall", seed=1)
    order = torch.randperm(a.nnz(), generator=torch.Generator().manual_seed(0))
    out, value = torch_sparse.spspmm(
        index[0][:, order], a.storage.value()[order], index[1], b.storage.value(), 4, 9, 4, coalesced=True
    )
    np.testing.assert_array_equal(torch_sparse.to_torch_sparse(out, value, 4, 4).to_dense().numpy(), expected)
    np.testing.assert_array_equal(torch_sparse.to_scipy(out, value, 4, 4).toarray(), expected)
    for back in (
        torch_sparse.from_scipy(torch_sparse.to_scipy(out, value, 4, 4)),
        torch_sparse.from_torch_sparse(torch_sparse.to_torch_sparse(out, value, 4, 4).coalesce()),
    ):
        assert torch.equal(back[0], out)
        assert torch.equal(back[1], value)
    ones, diagonal = torch_sparse.eye(3, torch.int32)
    assert ones.tolist() == [[0, 1, 2]] * 2
    assert diagonal.tolist() == [1, 1, 1]


# operators and TorchScript


@pytest.mark.parametrize("has_value", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "mean", "min", "max"])
def test_spmm_operators(enabled, reduce, has_value):
    matrix, ops = sparse("wide", has_value=has_value), torch.ops.torch_sparse
    rowptr, col, value = matrix.csr()
    value = None if value is None else value.requires_grad_()
    mat = torch.from_numpy(right("wide")).requires_grad_()
    colptr, order = matrix.storage.colptr(), matrix.storage.csr2csc()
    row, count = matrix.storage.row(), matrix.storage.rowcount()
    call = {
        "sum": lambda *tensors: ops.spmm_sum(row, rowptr, col, *tensors[:-1], colptr, order, tensors[-1]),
        "mean": lambda *tensors: ops.spmm_mean(row, rowptr, col, *tensors[:-1], count, colptr, order, tensors[-1]),
        "min": lambda *tensors: ops.spmm_min(rowptr, col, *tensors)[0],
        "max": lambda *tensors: ops.spmm_max(rowptr, col, *tensors)[0],
    }[reduce]
    np.testing.assert_allclose(call(value, mat).detach(), product("wide", right("wide"), reduce, has_value)[0])
    (grad,) = torch.autograd.grad(call(value, mat).sum(), mat, retain_graph=True)
    (expected,) = torch.autograd.grad(matmul(matrix, mat, reduce).sum(), mat)
    assert torch.equal(grad, expected)


@pytest.mark.parametrize(
    "rowptr, col", [([0, 1, 3], [0, 5]), ([0, 2, 1], [0]), ([0, 1, 1], [-1]), ([0, 1, 1], [2]), ([], [])]
)
@pytest.mark.parametrize("operator", ["spmm_min", "spmm_max"])
def test_operators_refuse_bad_indices(enabled, operator, rowptr, col):
    rowptr, col = (torch.tensor(numbers, dtype=torch.long) for numbers in (rowptr, col))
    with pytest.raises((ValueError, IndexError)):
        getattr(torch.ops.torch_sparse, operator)(rowptr, col, None, torch.ones(2, 1))


def test_pointers_and_masks(enabled):
    ops = torch.ops.torch_sparse
    row = torch.tensor([2, 2, 4, 5, 5, 6])
    assert ops.ind2ptr(row, 8).tolist() == [0, 0, 0, 2, 2, 3, 5, 6, 6]
    assert ops.ptr2ind(ops.ind2ptr(row, 8), 6).tolist() == row.tolist()
    assert ops.ind2ptr(row[:0], 3).tolist() == [0, 0, 0, 0]
    assert ops.ptr2ind(torch.zeros(4, dtype=torch.long), 0).tolist() == []
    assert ops.non_diag_mask(torch.tensor([0, 1, 2]), torch.tensor([1, 0, 2]), 3, 3, 0).tolist() == [
        False, True, True, False, False, False,
    ]  # fmt: skip
    assert ops.cuda_version() == -1
    for call in (ops.partition, lambda *args: ops.partition2(*args[:3], None, *args[3:])):
        with pytest.raises(NotImplementedError, match="METIS"):
            call(torch.tensor([0, 1]), torch.tensor([0]), None, 1, True)


def layers(a: SparseTensor, x: torch.Tensor, reduce: str) -> torch.Tensor:
    a = torch_sparse.fill_diag(torch_sparse.add(torch_sparse.mul(a, a), a), 2.0)
    degree = torch_sparse.sum(a, dim=1)
    a = torch_sparse.mul(torch_sparse.mul(a, degree.view(-1, 1)), degree.view(1, -1))
    a = torch_sparse.t(torch_sparse.masked_select_nnz(a, torch.arange(a.nnz()) % 3 != 0, "coo"))
    a = torch_sparse.index_select(torch_sparse.set_diag(a), 0, torch.arange(a.sparse_size(0)))
    return torch_sparse.matmul(a, x, reduce) + torch_sparse.matmul(torch_sparse.matmul(a, a, "sum"), x, reduce)


def either(a: Union[torch.Tensor, SparseTensor]) -> int:  # noqa: UP007
    return a.nnz() if isinstance(a, SparseTensor) else a.size(0)


@pytest.mark.parametrize("reduce", ["sum", "mean", "min", "max"])
def test_torchscript(enabled, reduce, tmp_path):
    matrix = sparse("square", torch.float32)
    x = torch.from_numpy(right("square")).float().requires_grad_()
    scripted = torch.jit.script(layers)
    expected = layers(matrix, x, reduce)
    with torch.jit.optimized_execution(False):  # seconds for a graph that runs once
        out = scripted(matrix, x, reduce)
        (grad,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), x)[0])
    scripted.save(str(tmp_path / "layers.pt"))
    assert torch.jit.script(either)(matrix) == matrix.nnz()


def test_compile():
    matrix = sparse("square", torch.float32)
    x = torch.from_numpy(right("square")).float().requires_grad_()
    compiled = torch.compile(lambda x: matmul(matrix, x), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), matmul(matrix, x))
    torch.testing.assert_close(
        torch.autograd.grad(compiled(x).sum(), x), torch.autograd.grad(matmul(matrix, x).sum(), x)
    )


def product_of(
    row: torch.Tensor, rowptr: torch.Tensor, col: torch.Tensor, x: torch.Tensor, sizes: tuple[int, int]
) -> torch.Tensor:
    return torch_sparse.matmul(SparseTensor(row, rowptr, col, None, sizes, True, True), x, "sum")


ROW, ROWPTR, COL = torch.tensor([0, 0, 1]), torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1])


def test_torchscript_with_more_rows_than_columns():
    x = torch.rand(5, 2, requires_grad=True)
    torch.jit.script(product_of)(ROW, ROWPTR, COL, x, (2, 2)).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[1.0], [2.0], [0.0], [0.0], [0.0]]).expand(5, 2))


FAR = 10**9
BAD_ENTRIES = [
    (torch.tensor([0, FAR, 1]), ROWPTR, COL),
    (ROW, torch.tensor([0, FAR, 3]), COL),
    (ROW, ROWPTR, torch.tensor([0, FAR, 1])),
]


@pytest.mark.parametrize("entries", BAD_ENTRIES)
def test_torchscript_refuses_bad_indices(entries):
    with pytest.raises(torch.jit.Error):
        torch.jit.script(product_of)(*entries, torch.rand(2, 2, requires_grad=True), (2, 2))


@pytest.mark.parametrize("entries", BAD_ENTRIES[1:])
def test_compiled_products_refuse_bad_indices(entries):
    compiled = torch.compile(product_of, backend="aot_eager", fullgraph=True)
    with pytest.raises(RuntimeError, match=r"indptr|indices"):
        compiled(*entries, torch.rand(2, 2), (2, 2))


def test_pointers_out_of_order_are_refused():
    rowptr = torch.tensor([0, 99, 3])  # the sum of the counts is right
    with pytest.raises(ValueError, match="negative"):
        SparseTensor(rowptr=rowptr, col=COL, is_sorted=True, trust_data=True).storage.row()
