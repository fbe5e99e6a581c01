"""segment_csr, segment_coo and the gathers against NumPy."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import graphkern.compat.torch_scatter as torch_scatter

from . import torch_scatter_oracle as oracle

pytestmark = pytest.mark.usefixtures("one_thread")
REDUCES = ("sum", "mean", "min", "max")
INDPTR = torch.tensor([0, 2, 2, 5, 9])
INDPTRS = {  # src, indptr
    "vector": ((9,), INDPTR),
    "rows": ((9, 3), INDPTR),
    "wide_rows": ((9, 20), INDPTR),
    "not from 0 to L": ((9, 3), torch.tensor([1, 2, 2, 8])),
    "one for all batches": ((3, 9), INDPTR.view(1, -1)),
    "one for all batches of rows": ((3, 9, 2), INDPTR.view(1, -1)),
    "one for all, expanded": ((3, 9, 2), INDPTR.expand(3, -1)),
    "one a batch": ((2, 9), torch.tensor([[0, 2, 2, 9], [3, 3, 4, 8]])),
    "one a batch of rows": ((2, 9, 3), torch.tensor([[1, 2, 2, 9], [0, 3, 4, 9]])),
    "two axes of batches": ((2, 2, 4, 2), torch.tensor([[[0, 3, 4], [0, 0, 4]], [[1, 1, 2], [0, 4, 4]]])),
    "batches, one axis broadcast": ((2, 3, 4), torch.tensor([[[0, 3, 4]], [[1, 1, 2]]])),
    "no segments": ((9, 3), torch.tensor([4])),
}
INDICES = {  # src, index, size
    "vector": ((9,), (9,), 5),
    "rows": ((9, 3), (9,), 5),
    "wide_rows": ((9, 20), (9,), 5),
    "one for all batches": ((3, 9), (1, 9), 4),
    "one for all batches of rows": ((3, 9, 2), (1, 9), 4),
    "one a batch": ((2, 9), (2, 9), 4),
    "one a batch of rows": ((2, 9, 3), (2, 9), 4),
    "two axes of batches": ((2, 2, 4, 2), (2, 2, 4), 3),
    "batches, one axis broadcast": ((2, 3, 4), (2, 1, 4), 3),
    "far fewer than places": ((2, 3), (2,), 40),
    "one place for all": ((9, 3), (1,), 2),
    "one place for all of a batch": ((2, 9, 3), (2, 1), 2),
}


def call(name, *args):
    """(result, arg or None)"""
    got = getattr(torch_scatter, name)(*args)
    return got if isinstance(got, tuple) else (got, None)


def coo_case(name, dtype=torch.float32):
    shape, index_shape, size = INDICES[name]
    return oracle.values(shape, dtype), oracle.indices(index_shape, size, ordered=True), size


def check_csr(reduce, src, indptr, out=None):
    want, arg = oracle.segments(src, indptr, reduce)
    got, got_arg = call(f"segment_{reduce}_csr", src, indptr, out)
    oracle.same(got, want, src.dtype)
    if got_arg is not None:
        oracle.same(got_arg, arg, torch.int64)
    return got


def check_coo(reduce, src, index, size, out=None):
    want, arg = oracle.scatter(src, index, index.dim() - 1, size, reduce, out, rounding=np.trunc)
    got, got_arg = call(f"segment_{reduce}_coo", src, index, out, None if out is not None else size)
    oracle.same(got, want, src.dtype)
    if got_arg is not None:
        oracle.same(got_arg, arg, torch.int64)
    return got


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("name", INDPTRS)
def test_csr(name, reduce):
    shape, indptr = INDPTRS[name]
    check_csr(reduce, oracle.values(shape, torch.float32), indptr)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", oracle.FLOATS + oracle.INTEGERS)
@pytest.mark.parametrize("name", ["rows", "one a batch"])
def test_csr_dtypes(name, dtype, reduce):
    shape, indptr = INDPTRS[name]
    check_csr(reduce, oracle.values(shape, dtype), indptr)
    check_csr(reduce, oracle.values(shape, dtype), indptr.int())


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
@pytest.mark.parametrize("name", ["rows", "one a batch of rows"])
def test_csr_out_is_overwritten(name, dtype, reduce):
    shape, indptr = INDPTRS[name]
    src = oracle.values(shape, dtype)
    want, _arg = oracle.segments(src, indptr, reduce)
    out = torch.full(want.shape, 7, dtype=dtype)
    assert check_csr(reduce, src, indptr, out) is out


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("name", INDICES)
def test_coo(name, reduce):
    check_coo(reduce, *coo_case(name))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", oracle.FLOATS + oracle.INTEGERS)
@pytest.mark.parametrize("name", ["rows", "one a batch"])
def test_coo_dtypes(name, dtype, reduce):
    src, index, size = coo_case(name, dtype)
    check_coo(reduce, src, index, size)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
@pytest.mark.parametrize("name", ["rows", "one a batch of rows"])
def test_coo_out_takes_part(name, dtype, reduce):
    src, index, size = coo_case(name, dtype)
    shape = list(src.shape)
    shape[index.dim() - 1] = size
    out = oracle.values(tuple(shape), dtype, seed=1)
    assert check_coo(reduce, src, index, size, out) is out


@pytest.mark.parametrize("reduce", REDUCES)
def test_not_contiguous(reduce):
    src = oracle.values((9, 2, 3), torch.float32).transpose(0, 1)
    indptr = torch.tensor([[0, 3], [2, 4], [9, 8]]).t()
    index = oracle.indices((2, 9), 4, ordered=True).t().contiguous().t()
    assert not any(tensor.is_contiguous() for tensor in (src, indptr, index))
    check_csr(reduce, src, indptr)
    check_coo(reduce, src, index, 4)


@pytest.mark.parametrize("reduce", ["sum", "add", "mean", "min", "max"])
def test_segment_is_all_of_them(reduce):
    src, index = oracle.values((9, 3), torch.float32), oracle.indices((9,), 4, ordered=True)
    want, _arg = call(f"segment_{reduce}_csr", src, INDPTR)
    assert torch_scatter.segment_csr(src, INDPTR, reduce=reduce).equal(want)
    want, _arg = call(f"segment_{reduce}_coo", src, index, None, 6)
    assert torch_scatter.segment_coo(src, index, None, 6, reduce).equal(want)
    for function, where in ((torch_scatter.segment_csr, INDPTR), (torch_scatter.segment_coo, index)):
        with pytest.raises(ValueError, match="reduce"):
            function(src, where, reduce="mul")


def test_means_of_integers_lose_their_fraction():
    src = torch.tensor([-1, -2, 1, 2])
    assert torch_scatter.segment_mean_csr(src, torch.tensor([0, 2, 4])).tolist() == [-1, 1]
    assert torch_scatter.segment_mean_coo(src, torch.tensor([0, 0, 1, 1])).tolist() == [-1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_size_is_the_largest_index_and_one(dtype):
    src, index = torch.ones(2, 3, dtype=dtype), torch.tensor([[0, 0, 1], [0, 3, 6]])
    assert torch_scatter.segment_coo(src, index).shape == (2, 7)
    assert torch_scatter.segment_coo(src[0], index[1]).tolist() == [1, 0, 0, 1, 0, 0, 1]


@pytest.mark.parametrize("reduce", REDUCES)
def test_the_order_of_coo_only_costs_time(reduce):
    src, index = oracle.values((9, 3), torch.float32), torch.tensor([3, 0, 3, 1, 0, 4, 4, 0, 1])
    check_coo(reduce, src, index, 5)


def test_an_index_that_changes():
    """What is kept with an index is forgotten when it is written to."""
    src, index = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1])
    assert torch_scatter.segment_coo(src, index).tolist() == [3, 4]
    index[1] = 1
    assert torch_scatter.segment_coo(src, index).tolist() == [1, 6]
    index[0] = 2
    assert torch_scatter.segment_coo(src, index).tolist() == [0, 6, 1]
    with pytest.raises(ValueError, match="ascend"):
        torch_scatter.gather_coo(src, index)


@pytest.mark.parametrize("dtype", oracle.FLOATS + oracle.INTEGERS)
@pytest.mark.parametrize("name", [name for name in INDPTRS if name != "no segments"])
def test_gather_csr(name, dtype):
    shape, indptr = INDPTRS[name]
    dim, length = indptr.dim() - 1, int(indptr.max())
    indptr = indptr.clone()
    indptr[..., -1] = length
    src = oracle.values((*shape[:dim], indptr.shape[-1] - 1, *shape[dim + 1 :]), dtype)
    pointers = np.broadcast_to(indptr.numpy(), (*src.shape[:dim], indptr.shape[-1]))

    def fill(want):
        for line in oracle.lines(tuple(want.shape), dim):
            pointer = pointers[line[:dim]]
            for s in range(len(pointer) - 1):
                want[line][pointer[s] : pointer[s + 1]] = oracle.array(src)[line][s]
        return want

    shape = (*src.shape[:dim], length, *src.shape[dim + 1 :])
    oracle.same(torch_scatter.gather_csr(src, indptr), fill(np.zeros(shape, oracle.array(src).dtype)), dtype)
    out = torch.full(shape, 9, dtype=dtype)
    assert torch_scatter.gather_csr(src, indptr, out) is out
    oracle.same(out, fill(np.full(shape, 9, oracle.array(src).dtype)), dtype)


@pytest.mark.parametrize("dtype", oracle.FLOATS + oracle.INTEGERS)
@pytest.mark.parametrize("name", [name for name in INDICES if "all" not in name and "broadcast" not in name])
def test_gather_coo(name, dtype):
    shape, index_shape, size = INDICES[name]
    dim = len(index_shape) - 1
    src = oracle.values((*shape[:dim], size, *shape[dim + 1 :]), dtype)
    index = oracle.indices(index_shape, size, ordered=True)
    places = index.numpy().reshape(index_shape + (1,) * (len(shape) - dim - 1))
    want = np.take_along_axis(oracle.array(src), np.broadcast_to(places, shape), dim)
    oracle.same(torch_scatter.gather_coo(src, index), want, dtype)
    oracle.same(torch_scatter.gather_coo(src, index.int()), want, dtype)
    out = torch.full(shape, 9, dtype=dtype)
    assert torch_scatter.gather_coo(src, index, out) is out
    oracle.same(out, want, dtype)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_without_entries(dtype, reduce):
    empty, none = torch.ones(0, 3, dtype=dtype), torch.zeros(0, dtype=torch.int64)
    for got, arg in (
        call(f"segment_{reduce}_csr", empty, torch.tensor([0, 0, 0])),
        call(f"segment_{reduce}_coo", empty, none, None, 2),
    ):
        assert got.tolist() == [[0, 0, 0]] * 2
        assert arg is None or arg.tolist() == [[0, 0, 0]] * 2
    assert call(f"segment_{reduce}_csr", empty, none)[0].shape == (0, 3)
    assert call(f"segment_{reduce}_coo", empty, none)[0].shape == (0, 3)
    assert torch_scatter.gather_csr(empty, none).shape == (0, 3)
    assert torch_scatter.gather_coo(empty, none).shape == (0, 3)
    assert torch_scatter.gather_coo(empty, torch.tensor([0, 1])).tolist() == [[0, 0, 0]] * 2
    assert call(f"segment_{reduce}_csr", torch.ones(0, 4, dtype=dtype), torch.zeros(0, 3).long())[0].shape == (0, 2)
    wide = torch.ones(2, 4, 0, dtype=dtype)
    assert call(f"segment_{reduce}_csr", wide, torch.tensor([[0, 1, 4], [0, 2, 4]]))[0].shape == (2, 2, 0)


def test_gradients_without_entries():
    src, none = torch.ones(0, 0, 0, 16, requires_grad=True), torch.zeros(0, dtype=torch.int64)
    for function in (
        torch_scatter.segment_csr,
        torch_scatter.segment_coo,
        torch_scatter.gather_csr,
        torch_scatter.gather_coo,
    ):
        got = function(src, none)
        got.backward(torch.ones_like(got))
        assert got.shape == (0, 0, 0, 16)


def test_nothing_beyond_the_extremes():
    src, index = torch.tensor([float("-inf"), float("-inf"), 2.0]), torch.tensor([0, 1, 1])
    got, arg = torch_scatter.segment_max_coo(src, index)
    assert (got.tolist(), arg.tolist()) == ([0, 2], [3, 2])
    got, arg = torch_scatter.segment_max_csr(src, torch.tensor([0, 1, 3]))
    assert (got.tolist(), arg.tolist()) == ([float("-inf"), 2], [0, 2])


def test_bool():
    src = torch.tensor([True, False])
    for name in ("segment_csr", "segment_coo", "gather_csr", "gather_coo"):
        with pytest.raises(NotImplementedError, match="bool"):
            call(name, src, torch.tensor([0, 1]))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("name", ["rows", "one for all batches", "one a batch of rows"])
def test_gradients(name, reduce):
    shape, indptr = INDPTRS[name]
    src = oracle.values(shape, torch.float64)
    src = (src + torch.linspace(0, 0.1, src.numel()).reshape(shape)).requires_grad_()  # no ties
    _shape, index, size = coo_case(name)
    for function in (
        lambda src: call(f"segment_{reduce}_csr", src, indptr)[0],
        lambda src: call(f"segment_{reduce}_coo", src, index, None, size)[0],
    ):
        assert gradcheck(function, (src,))
        assert gradgradcheck(function, (src,))


@pytest.mark.parametrize("name", ["rows", "one a batch of rows"])
def test_gradients_of_gathers(name):
    shape, indptr = INDPTRS[name]
    dim = indptr.dim() - 1
    src = oracle.values((*shape[:dim], indptr.shape[-1] - 1, *shape[dim + 1 :]), torch.float64).requires_grad_()
    index = oracle.indices((*shape[:dim], 9), src.shape[dim], ordered=True)
    for function, where in ((torch_scatter.gather_csr, indptr), (torch_scatter.gather_coo, index)):
        assert gradcheck(function, (src, where))
        assert gradgradcheck(function, (src, where))


@pytest.mark.parametrize("reduce", REDUCES)
def test_gradients_of_out(reduce):
    """coo: out takes part. csr: it does not."""
    src, index, size = coo_case("rows", torch.float64)
    src = (src + torch.linspace(0, 0.1, src.numel()).reshape(src.shape)).requires_grad_()
    out = (oracle.values((size, 3), torch.float64, seed=1) / 3).requires_grad_()
    assert gradcheck(lambda src, out: call(f"segment_{reduce}_coo", src, index, out * 1)[0], (src, out))
    call(f"segment_{reduce}_csr", src, torch.tensor([0, 2, 2, 3, 9, 9]), out * 1)[0].sum().backward()
    assert out.grad.count_nonzero() == 0
    assert src.grad.count_nonzero() > 0


BAD_INDPTRS = {
    "descends": [0, 3, 2, 4],
    "below 0": [-1, 2, 3, 4],
    "behind src": [0, 2, 3, 5],
    "far behind src": [0, 2, 3, 2**40],
    "descends far": [0, 2**40, 3, 4],
}


@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
@pytest.mark.parametrize("name", BAD_INDPTRS)
def test_bad_indptr(name, dtype, batches):
    src = torch.ones(batches, 4, 2, dtype=dtype)
    indptr = torch.tensor([BAD_INDPTRS[name], [0, 2, 3, 4]])[:batches]
    for reduce in REDUCES:
        with pytest.raises(ValueError, match="indptr"):
            call(f"segment_{reduce}_csr", src, indptr)
    with pytest.raises(ValueError, match="indptr"):
        torch_scatter.gather_csr(src[:, :3], indptr, torch.ones(batches, 4, 2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
@pytest.mark.parametrize("index", [[-1, 0, 1], [0, 1, 4], [0, 1, 2**40], [4, 0, 1]])
def test_index_out_of_range(index, dtype):
    src, index = torch.ones(3, 2, dtype=dtype), torch.tensor(index)
    for reduce in REDUCES:
        for out, size in ((None, 4), (torch.ones(4, 2, dtype=dtype), None)):
            with pytest.raises(ValueError, match="index"):
                call(f"segment_{reduce}_coo", src, index, out, size)
    with pytest.raises(ValueError, match="index"):
        torch_scatter.gather_coo(src, index)
    with pytest.raises(ValueError, match="index"):
        torch_scatter.gather_coo(src.view(1, 3, 2).repeat(2, 1, 1), index.repeat(2, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
def test_bad_arguments(dtype):
    src, index = torch.ones(3, 2, dtype=dtype), torch.tensor([0, 1, 1])
    wide, typed = torch.ones(3, 4, dtype=dtype), torch.ones(2, 2, dtype=torch.float64)
    for name, args, error in (
        ("segment_sum_csr", (src, torch.zeros(3, 2, 2).long()), ValueError),
        ("segment_sum_csr", (src, torch.zeros(2, 2).long()), ValueError),
        ("segment_sum_csr", (src, torch.tensor(0)), ValueError),
        ("segment_sum_csr", (src, torch.tensor([0, 1, 3]), wide), ValueError),
        ("segment_sum_csr", (src, torch.tensor([0, 1, 3]), typed), TypeError),
        ("segment_max_csr", (src, torch.tensor([0.0, 1.0])), TypeError),
        ("segment_sum_coo", (src, index.view(3, 1, 1)), ValueError),
        ("segment_sum_coo", (src, index[:2]), ValueError),
        ("segment_sum_coo", (src, torch.tensor(0)), ValueError),
        ("segment_sum_coo", (src, index, wide), ValueError),
        ("segment_sum_coo", (src, index, typed), TypeError),
        ("segment_max_coo", (src, index, None, -1), ValueError),
        ("segment_max_coo", (src, index.float()), TypeError),
        ("gather_csr", (src, torch.tensor([0, 1])), ValueError),
        ("gather_csr", (src, torch.tensor([0, 1, 2, 3]), wide), ValueError),
        ("gather_csr", (src, torch.tensor([0, 1, 2, 3]), typed), TypeError),
        ("gather_csr", (src, torch.tensor([0, -1, -2, -3])), ValueError),
        ("gather_coo", (src, index.view(1, 3)), ValueError),
        ("gather_coo", (src, index.flip(0)), ValueError),
        ("gather_coo", (src, index, wide), ValueError),
        ("gather_coo", (src, index, typed), TypeError),
    ):
        with pytest.raises(error):
            pytest.fail(f"{name}{args}: {call(name, *args)}")
