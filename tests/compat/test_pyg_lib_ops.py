"""pyg_lib.ops against plain torch, and the operators torch.ops.pyg.*."""

from __future__ import annotations

import itertools

import pytest
import torch

import graphkern
from graphkern.compat import pyg_lib
from graphkern.compat.pyg_lib import ops, sampler

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.float16: 1e-2, torch.bfloat16: 5e-2}
PTRS = [[0, 8], [0, 3, 8], [0, 0, 5, 5, 8, 8], list(range(9))]
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),
]


@pytest.fixture
def operators():
    pyg_lib.register()
    yield torch.ops.pyg
    pyg_lib.unregister()


@pytest.mark.parametrize("ptr", PTRS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("has_bias", [False, True])
def test_segment_matmul(ptr, dtype, has_bias):
    x, other = torch.randn(8, 5, dtype=dtype), torch.randn(len(ptr) - 1, 5, 6, dtype=dtype)
    bias = torch.randn(len(ptr) - 1, 6, dtype=dtype) if has_bias else None
    out = ops.segment_matmul(x, torch.tensor(ptr), other, bias)
    assert out.dtype == dtype
    for b, (start, end) in enumerate(itertools.pairwise(ptr)):
        wanted = x[start:end].double() @ other[b].double() + (0 if bias is None else bias[b].double())
        torch.testing.assert_close(out[start:end].double(), wanted, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_segment_matmul_of_no_rows_and_strided_rows(index):
    assert ops.segment_matmul(torch.ones(0, 3), torch.tensor([0, 0], dtype=index), torch.ones(1, 3, 2)).shape == (0, 2)
    x, other = torch.randn(3, 8).t(), torch.randn(2, 4, 3).mT
    out = ops.segment_matmul(x, torch.tensor([0, 3, 8], dtype=index), other)
    torch.testing.assert_close(out, torch.cat([x[:3] @ other[0], x[3:] @ other[1]]))


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_grouped_matmul(has_bias, transposed, dtype):
    shapes = [(5, 16, 48), (6, 9, 42), (0, 4, 3), (3, 32, 1)]
    inputs = [torch.randn(n, k, dtype=dtype) for n, k, _ in shapes]
    others = [
        torch.randn(m, k, dtype=dtype).t() if transposed else torch.randn(k, m, dtype=dtype) for _, k, m in shapes
    ]
    biases = [torch.randn(m, dtype=dtype) for *_, m in shapes] if has_bias else None
    outs = ops.grouped_matmul(inputs, others, biases)
    assert isinstance(outs, list)
    for i, out in enumerate(outs):
        wanted = inputs[i].double() @ others[i].double() + (0 if biases is None else biases[i].double())
        torch.testing.assert_close(out, wanted.to(dtype), atol=4 * TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("ptr", PTRS, ids=str)
@pytest.mark.parametrize(
    "shape, dim", [((8,), 0), ((8, 3), 0), ((3, 8), 1), ((3, 8), -1), ((2, 8, 3), 1), ((2, 3, 8), -1)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_softmax_csr(ptr, shape, dim, dtype):
    src = 3 * torch.randn(shape, dtype=dtype)
    out = ops.softmax_csr(src, torch.tensor(ptr), dim)
    sizes = [end - start for start, end in itertools.pairwise(ptr)]
    wanted = torch.cat([part.double().softmax(dim) for part in src.split(sizes, dim)], dim)
    torch.testing.assert_close(out.double(), wanted, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])
    assert (out.dtype, out.shape) == (dtype, src.shape)


def test_softmax_csr_of_large_scores_and_of_none():
    out = ops.softmax_csr(torch.tensor([1e4, 1e4, -1e4, 3e4]), torch.tensor([0, 2, 4]))
    assert out.tolist() == [0.5, 0.5, 0, 1]
    assert ops.softmax_csr(torch.ones(0, 4), torch.tensor([0, 0])).shape == (0, 4)


OPERATIONS = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("has_left, has_right", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_sampled(name, has_left, has_right, dtype, index):
    left, right = torch.arange(1, 19).view(6, 3).to(dtype), torch.arange(2, 20).view(6, 3).to(dtype)
    left_rows = [5, 0, 0, 3, 1, 5] if has_left else list(range(6))
    right_rows = [1, 1, 4, 2, 0, 5] if has_right else list(range(6))
    left_index = torch.tensor(left_rows, dtype=index) if has_left else None
    right_index = torch.tensor(right_rows, dtype=index) if has_right else None
    out = getattr(ops, f"sampled_{name}")(left, right, left_index, right_index)
    rows = [OPERATIONS[name](left[i], right[j]) for i, j in zip(left_rows, right_rows, strict=True)]
    assert torch.equal(out, torch.stack(rows))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
@pytest.mark.parametrize("max_value", [None, 60, 10**12])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_index_sort(dtype, max_value, size):
    given = torch.randint(60, (size,), generator=torch.Generator().manual_seed(0)).to(dtype)
    values, order = ops.index_sort(given, max_value)
    wanted = sorted(range(size), key=lambda i: (int(given[i]), i))
    assert order.tolist() == wanted
    assert torch.equal(values, given[order])
    assert (values.dtype, order.dtype) == (dtype, torch.int64)


INDEX, OTHER = torch.tensor([3, 0, 0, 2]), torch.tensor([1, 1, 0, 3])
PTR = torch.tensor([0, 3, 3, 4])
DIFFERENTIABLE = {
    "segment_matmul": (lambda x, w, b: ops.segment_matmul(x, PTR, w, b), [(4, 3), (3, 3, 2), (3, 2)]),
    "grouped_matmul": (
        lambda x, y, v, w, b, c: tuple(ops.grouped_matmul([x, y], [v, w], [b, c])),
        [(4, 3), (2, 1), (3, 2), (1, 5), (2,), (5,)],
    ),
    "softmax_csr": (lambda x: ops.softmax_csr(x, PTR, 1), [(2, 4, 2)]),
    "sampled_add": (lambda x, y: ops.sampled_add(x, y, INDEX, OTHER), [(4, 2), (4, 2)]),
    "sampled_sub": (lambda x, y: ops.sampled_sub(x, y, INDEX), [(4, 2), (4, 2)]),
    "sampled_mul": (lambda x, y: ops.sampled_mul(x, y, INDEX, OTHER), [(4, 2), (4, 2)]),
    "sampled_div": (lambda x, y: ops.sampled_div(x, y, None, OTHER), [(4, 2), (4, 2)]),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    function, shapes = DIFFERENTIABLE[name]
    inputs = [(torch.rand(shape, dtype=torch.float64) + 0.5).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


X, W = torch.ones(4, 3), torch.ones(3, 3, 2)
BAD = {
    "ptr that falls": (lambda: ops.segment_matmul(X, torch.tensor([0, 4, 2, 4]), W), ValueError),
    "ptr that ends early": (lambda: ops.segment_matmul(X, torch.tensor([0, 1, 2, 3]), W), ValueError),
    "ptr of another length": (lambda: ops.segment_matmul(X, torch.tensor([0, 4]), W), ValueError),
    "floating ptr": (lambda: ops.segment_matmul(X, torch.tensor([0.0, 1, 2, 4]), W), TypeError),
    "features that do not fit": (lambda: ops.segment_matmul(torch.ones(4, 2), PTR, W), ValueError),
    "mixed dtypes": (lambda: ops.segment_matmul(X.double(), PTR, W), TypeError),
    "bias that does not fit": (lambda: ops.segment_matmul(X, PTR, W, torch.ones(2)), ValueError),
    "others missing": (lambda: ops.grouped_matmul([X], []), ValueError),
    "biases missing": (lambda: ops.grouped_matmul([X], [W[0]], []), ValueError),
    "groups that do not fit": (lambda: ops.grouped_matmul([X], [X]), ValueError),
    "groups of mixed dtypes": (lambda: ops.grouped_matmul([X], [W[0].double()]), TypeError),
    "wide group bias": (lambda: ops.grouped_matmul([X], [W[0]], [torch.ones(3)]), ValueError),
    "softmax over nothing": (lambda: ops.softmax_csr(X, torch.tensor([], dtype=torch.int64)), ValueError),
    "softmax of a part": (lambda: ops.softmax_csr(X, torch.tensor([1, 4])), ValueError),
    "softmax beyond the end": (lambda: ops.softmax_csr(X, torch.tensor([0, 9])), ValueError),
    "softmax of integers": (lambda: ops.softmax_csr(X.long(), PTR), TypeError),
    "softmax along no axis": (lambda: ops.softmax_csr(X, PTR, 2), ValueError),
    "sort of a matrix": (lambda: ops.index_sort(torch.ones(2, 2).long()), RuntimeError),
    "sort of floats": (lambda: ops.index_sort(torch.ones(2)), TypeError),
    "index out of range": (lambda: ops.sampled_add(X, X, torch.tensor([4])), ValueError),
    "negative index": (lambda: ops.sampled_add(X, X, None, torch.tensor([-1])), ValueError),
    "floating index": (lambda: ops.sampled_add(X, X, torch.tensor([0.5])), TypeError),
    "different numbers of rows": (lambda: ops.sampled_add(X, X, INDEX[:2], INDEX), ValueError),
    "different widths": (lambda: ops.sampled_mul(X, torch.ones(4, 2)), ValueError),
    "different dtypes": (lambda: ops.sampled_mul(X, X.double()), TypeError),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    call, error = BAD[name]
    with pytest.raises(error):
        call()


def test_operators_agree_with_the_functions(operators):
    x, w = torch.randn(4, 3, requires_grad=True), torch.randn(3, 3, 2)
    assert torch.equal(operators.segment_matmul(x, PTR, w), ops.segment_matmul(x, PTR, w))
    assert torch.equal(operators.grouped_matmul([x], [w[0]])[0], x @ w[0])
    assert torch.equal(operators.softmax_csr(x, PTR), ops.softmax_csr(x, PTR))
    for name in OPERATIONS:
        wanted = getattr(ops, f"sampled_{name}")(x, x, INDEX, OTHER)
        assert torch.equal(operators.sampled_op(x, x, INDEX, OTHER, name), wanted)
    (gradient,) = torch.autograd.grad(operators.segment_matmul(x, PTR, w).sum(), x)
    torch.testing.assert_close(gradient, w.sum(2)[[0, 0, 0, 2]])
    rowptr, col = torch.tensor([0, 2, 3, 4]), torch.tensor([1, 2, 0, 1])
    assert operators.subgraph(rowptr, col, torch.tensor([0, 1]), False)[2] is None
    for call, again in (
        (lambda: operators.random_walk(rowptr, col, torch.arange(3), 4, 1.0, 0.5),
         lambda: sampler.random_walk(rowptr, col, torch.arange(3), 4, 1.0, 0.5)),
        (lambda: operators.neighbor_sample(rowptr, col, torch.arange(2), [1, 1], None, None, None, None, True)[3],
         lambda: sampler.neighbor_sample(rowptr, col, torch.arange(2), [1, 1], csc=True)[3]),
    ):  # fmt: skip
        torch.manual_seed(4)
        wanted = again()
        torch.manual_seed(4)
        assert torch.equal(call(), wanted)


def test_the_operator_over_dicts_names_relations(operators):
    row, col, node, edge, num_nodes, num_edges = operators.hetero_neighbor_sample(
        ["a", "b", "alone"], [("a", "to", "b")], {"a__to__b": torch.tensor([0, 2])},
        {"a__to__b": torch.tensor([5, 1])}, {"b": torch.tensor([0]), "alone": torch.tensor([7, 8])},
        {"a__to__b": [-1]}, None, None, None, None, True, False, True, True, "uniform", True,
    )  # fmt: skip
    assert (row["a__to__b"].tolist(), col["a__to__b"].tolist(), edge["a__to__b"].tolist()) == ([0, 1], [0, 0], [0, 1])
    assert {kind: nodes.tolist() for kind, nodes in node.items()} == {
        "a": [[0, 5], [0, 1]], "b": [[0, 0]], "alone": [[1, 7], [2, 8]],
    }  # fmt: skip
    assert num_nodes == {"a": [0, 2], "b": [1, 0], "alone": [2, 0]}
    assert num_edges == {"a__to__b": [2]}


def test_operators_work_over_no_relation(operators):
    out = operators.hetero_neighbor_sample(["a"], [], {}, {}, {"a": torch.tensor([3])}, {})
    assert (out[0], out[2]["a"].tolist(), out[4]) == ({}, [3], {"a": [1]})


@pytest.mark.parametrize("name", ["segment_matmul", "softmax_csr", "grouped_matmul", "sampled_mul", "index_sort"])
def test_functions_are_scriptable(operators, name):
    arguments = {
        "segment_matmul": (X, PTR, W, torch.randn(3, 2)), "softmax_csr": (X, PTR), "grouped_matmul": ([X], [W[0]]),
        "sampled_mul": (X, X, INDEX, OTHER), "index_sort": (INDEX,),
    }[name]  # fmt: skip
    torch.testing.assert_close(torch.jit.script(getattr(ops, name))(*arguments), getattr(ops, name)(*arguments))


@pytest.mark.parametrize("name", ["segment_matmul", "softmax_csr", "sampled_mul"])
def test_functions_compile(name):
    function, shapes = DIFFERENTIABLE[name]
    inputs = [torch.rand(shape).requires_grad_() for shape in shapes]
    out = torch.compile(function, backend="aot_eager", fullgraph=True)(*inputs)
    wanted = function(*inputs)
    torch.testing.assert_close(out, wanted)
    for a, b in zip(torch.autograd.grad(out.sum(), inputs), torch.autograd.grad(wanted.sum(), inputs), strict=True):
        torch.testing.assert_close(a, b)


def test_what_is_not_offered_is_absent():
    assert pyg_lib.__version__.endswith("+graphkern")
    assert not hasattr(pyg_lib, "partition")
    assert not {"spline_basis", "grid_cluster", "graclus_cluster", "fps", "knn", "radius", "nearest"} & set(dir(ops))
    assert graphkern.compat.pyg_lib is pyg_lib
