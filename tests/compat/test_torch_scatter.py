"""scatter and its relatives against NumPy."""

import itertools

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import graphkern.compat.torch_scatter as torch_scatter

from . import torch_scatter_oracle as oracle

pytestmark = pytest.mark.usefixtures("one_thread")
REDUCES = ("sum", "mul", "mean", "min", "max")
SHAPES = {  # src, index, dim, size
    "vector": ((9,), (9,), 0, 5),
    "rows": ((9, 3), (9,), 0, 5),
    "wide_rows": ((9, 20), (9,), -2, 5),
    "columns": ((3, 9), (9,), -1, 5),
    "middle": ((2, 9, 3), (9,), 1, 4),
    "last_of_four": ((2, 1, 3, 7), (7,), -1, 4),
    "one_index_an_entry": ((2, 9, 3), (2, 9, 3), -2, 4),
    "leading_axes": ((2, 9, 3), (2, 9), 1, 4),
    "one_in_front": ((2, 9, 3), (1, 9, 1), 1, 4),
    "one_in_the_middle": ((4, 3, 6, 2), (4, 1, 6, 2), 2, 5),
    "one_index_for_all": ((9, 3), (1,), 0, 2),
}


def call(reduce, *args):
    """(result, arg or None)"""
    got = getattr(torch_scatter, f"scatter_{reduce}")(*args)
    return got if isinstance(got, tuple) else (got, None)


def check(reduce, src, index, dim, size, out=None):
    want, arg = oracle.scatter(src, index, dim, size, reduce, out)
    got, got_arg = call(reduce, src, index, dim, out, None if out is not None else size)
    oracle.same(got, want, src.dtype)
    if reduce in ("min", "max"):
        oracle.same(got_arg, arg, torch.int64)
    return got


def case(name, dtype=torch.float32, index_dtype=torch.int64):
    shape, index_shape, dim, size = SHAPES[name]
    return oracle.values(shape, dtype), oracle.indices(index_shape, size).to(index_dtype), dim, size


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name, reduce):
    check(reduce, *case(name))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", oracle.FLOATS + oracle.INTEGERS)
@pytest.mark.parametrize("name", ["rows", "one_index_an_entry"])
def test_dtypes(name, dtype, reduce):
    check(reduce, *case(name, dtype))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.int16])
@pytest.mark.parametrize("name", ["vector", "columns", "leading_axes"])
def test_out(name, dtype, reduce):
    """out takes part, is written in place and is what comes back."""
    src, index, dim, size = case(name, dtype)
    shape = list(src.shape)
    shape[dim] = size
    out = oracle.values(tuple(shape), dtype, seed=1)
    got = check(reduce, src, index, dim, size, out)
    assert got is out


@pytest.mark.parametrize("reduce", REDUCES)
def test_out_of_another_layout(reduce):
    src, index, dim, size = case("rows")
    out = oracle.values((3, size), torch.float32, seed=1).t()
    assert check(reduce, src, index, dim, size, out) is out


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
def test_not_contiguous(dtype, reduce):
    src = oracle.values((3, 9, 2), dtype).transpose(0, 1)[::2]
    index = oracle.indices((3, 10), 4).t()[::2]
    assert not src.is_contiguous()
    assert not index.is_contiguous()
    check(reduce, src, index, 0, 4)


@pytest.mark.parametrize("reduce", REDUCES)
def test_int32_index(reduce):
    check(reduce, *case("middle", index_dtype=torch.int32))


@pytest.mark.parametrize("reduce", ["sum", "add", "mul", "mean", "min", "max"])
def test_scatter_is_all_of_them(reduce):
    src, index, dim, size = case("middle")
    want, _arg = call(reduce, src, index, dim, None, size)
    torch.testing.assert_close(torch_scatter.scatter(src, index, dim, None, size, reduce), want, rtol=0, atol=0)
    torch.testing.assert_close(torch_scatter.scatter(src, index, dim=dim, dim_size=size, reduce=reduce), want)


def test_default_is_the_sum_along_the_last_axis():
    src = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    index = torch.tensor([0, 0, 1])
    assert torch_scatter.scatter(src, index).tolist() == [[3, 4], [24, 32]]
    assert torch_scatter.scatter_add(src, index).tolist() == [[3, 4], [24, 32]]


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_size_is_the_largest_index_and_one(dtype, reduce):
    src = oracle.values((4, 2), dtype)
    assert call(reduce, src, torch.tensor([0, 6, 3, 3]), 0)[0].shape == (7, 2)
    assert call(reduce, src, torch.tensor([0, 6, 3, 3]), 0, None, 9)[0].shape == (9, 2)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_without_entries(dtype, reduce):
    """No size: an empty result. A size: zeros, also of a product; arg points behind src, which has no entries."""
    src, index = torch.ones(0, 3, dtype=dtype), torch.zeros(0, dtype=torch.int64)
    assert call(reduce, src, index, 0)[0].shape == (0, 3)
    got, arg = call(reduce, src, index, 0, None, 2)
    assert got.tolist() == [[0, 0, 0]] * 2
    assert arg is None or arg.tolist() == [[0, 0, 0]] * 2
    assert call(reduce, torch.ones(4, 0, dtype=dtype), torch.tensor([0, 1, 1, 0]), 0)[0].shape == (2, 0)


@pytest.mark.parametrize("reduce", REDUCES)
def test_gradient_without_entries(reduce):
    src = torch.ones(0, 0, 0, 16, requires_grad=True)
    got, _arg = call(reduce, src, torch.zeros(0, dtype=torch.int64), 0, None, 0)
    got.backward(torch.ones_like(got))
    assert got.shape == src.grad.shape == (0, 0, 0, 16)


@pytest.mark.parametrize("reduce", ["min", "max"])
@pytest.mark.parametrize("dtype", oracle.FLOATS + oracle.INTEGERS)
def test_the_first_of_equals_wins(dtype, reduce):
    src, index = torch.tensor([3, 3, 3, 5, 5], dtype=dtype), torch.tensor([1, 1, 1, 3, 3])
    got, arg = call(reduce, src, index, 0)
    assert got.tolist() == [0, 3, 0, 5]
    assert arg.tolist() == [5, 0, 5, 3]
    given = torch.tensor([7, 3, 7, 5], dtype=dtype)
    got, arg = call(reduce, src, index, 0, given.clone())
    assert got.tolist() == given.tolist()
    assert arg.tolist() == [5, 5, 5, 5], "what is given wins against equal entries"


@pytest.mark.parametrize("reduce, extreme", [("max", "-inf"), ("min", "inf")])
@pytest.mark.parametrize("dtype", oracle.FLOATS)
def test_nothing_beyond_the_extremes(dtype, reduce, extreme):
    """A place that holds nothing beyond the dtype's extreme finite value is as one without entries."""
    src = torch.tensor([float(extreme), float(extreme), 2.0, torch.finfo(dtype).min], dtype=dtype)
    src[3] = -src[3] if reduce == "min" else src[3]
    src.requires_grad_()
    got, arg = call(reduce, src, torch.tensor([0, 1, 1, 2]), 0)
    assert got.tolist() == [0, 2, 0]
    assert arg.tolist() == [4, 2, 4]
    got.sum().backward()
    assert src.grad.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("reduce, extreme", [("max", 0), ("min", 255)])
def test_nothing_beyond_the_extremes_of_integers(reduce, extreme):
    src = torch.tensor([extreme, extreme, 7], dtype=torch.uint8)
    got, arg = call(reduce, src, torch.tensor([0, 1, 1]), 0)
    assert (got.tolist(), arg.tolist()) == ([0, 7], [3, 2])


@pytest.mark.parametrize("reduce", ["min", "max"])
def test_nan_never_wins(reduce):
    src = torch.tensor([float("nan"), 1.0, float("nan"), 3.0], requires_grad=True)
    got, arg = call(reduce, src, torch.tensor([0, 0, 1, 2]), 0)
    assert (got.tolist(), arg.tolist()) == ([1, 0, 3], [1, 4, 3])
    got.sum().backward()
    assert src.grad.tolist() == [0, 1, 0, 1]


def test_mean_of_integers_rounds_down():
    src, index = torch.tensor([-1, -2, 1, 2, 7]), torch.tensor([0, 0, 1, 1, 3])
    assert torch_scatter.scatter_mean(src, index).tolist() == [-2, 1, 0, 7]


def test_counts_do_not_overflow():
    src = torch.ones(3000, dtype=torch.float16)
    assert torch_scatter.scatter_mean(src, torch.zeros(3000, dtype=torch.int64)).tolist() == [1]
    few = torch.zeros(300, dtype=torch.int8)
    few[0] = 90
    assert torch_scatter.scatter_mean(few, torch.zeros(300, dtype=torch.int64)).tolist() == [0]


def test_sums_of_integers_wrap():
    src = torch.full((3,), 100, dtype=torch.int8)
    assert torch_scatter.scatter_sum(src, torch.tensor([0, 0, 0])).tolist() == [300 - 256]


def test_bool():
    src, index = torch.tensor([True, False, True, False]), torch.tensor([0, 0, 0, 1])
    assert torch_scatter.scatter_sum(src, index).tolist() == [True, False]
    for reduce in ("mul", "mean", "min", "max"):
        with pytest.raises(NotImplementedError, match="bool"):
            call(reduce, src, index, 0)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("name", ["vector", "columns", "leading_axes", "one_in_the_middle"])
def test_gradients(name, reduce):
    src, index, dim, size = case(name, torch.float64)
    src = (src + torch.linspace(0, 0.1, src.numel()).reshape(src.shape)).requires_grad_()  # no ties

    def function(src):
        return call(reduce, src, index, dim, None, size)[0]

    assert gradcheck(function, (src,))
    assert gradgradcheck(function, (src,))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("name", ["vector", "middle"])
def test_gradients_of_out(name, reduce):
    src, index, dim, size = case(name, torch.float64)
    src = (src + torch.linspace(0, 0.1, src.numel()).reshape(src.shape)).requires_grad_()
    shape = list(src.shape)
    shape[dim] = size
    out = (oracle.values(tuple(shape), torch.float64, seed=1) / 3).requires_grad_()

    def function(src, out):
        return call(reduce, src, index, dim, out * 1)[0]

    assert gradcheck(function, (src, out))


def test_gradient_of_a_product_with_zeros():
    src = torch.tensor([2.0, 0.0, 3.0, 0.0, 0.0], requires_grad=True)
    torch_scatter.scatter_mul(src, torch.tensor([0, 0, 0, 1, 1])).sum().backward()
    assert src.grad.tolist() == [0, 6, 0, 0, 0]


def test_gradient_goes_to_the_winner():
    src = torch.tensor([1.0, 4.0, 4.0, 2.0], requires_grad=True)
    got, _arg = torch_scatter.scatter_max(src, torch.tensor([0, 0, 0, 2]))
    got.backward(torch.tensor([1.0, 10.0, 100.0]))
    assert src.grad.tolist() == [0, 1, 0, 100]


BAD_INDEX = [[-1, 0, 1], [0, 1, 4], [0, 1, 2**40], [-(2**40), 0, 1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
@pytest.mark.parametrize("reduce, index", list(itertools.product(REDUCES, BAD_INDEX)))
def test_index_out_of_range(reduce, index, dtype):
    src, index = torch.ones(3, 2, dtype=dtype), torch.tensor(index)
    with pytest.raises(ValueError, match="index must be in"):
        call(reduce, src, index, 0, None, 4)
    with pytest.raises(ValueError, match="index must be in"):
        call(reduce, src, index, 0, torch.ones(4, 2, dtype=dtype))
    if reduce == "mean":  # counts without values to sum
        with pytest.raises(ValueError, match="index must be in"):
            call(reduce, src[:, :0], index, 0, torch.ones(4, 0, dtype=dtype))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
def test_bad_arguments(dtype, reduce):
    src, index = torch.ones(3, 2, dtype=dtype), torch.tensor([0, 1, 1])
    bad = {
        "dim": (src, index, 2),
        "shorter": (src, index[:2], 0),
        "more axes": (src, index.view(3, 1, 1), 0),
        "out of another shape": (src, index, 0, torch.ones(2, 3, dtype=dtype)),
        "out with fewer axes": (src, index, 0, torch.ones(2, dtype=dtype)),
        "size below 0": (src, index, 0, None, -1),
        "negative without a size": (src, index - 5, 0),
    }
    for name, args in bad.items():
        with pytest.raises(ValueError, match=r".+"):
            pytest.fail(f"{name}: {call(reduce, *args)}")
    with pytest.raises(TypeError):
        call(reduce, src, index.float(), 0)
    with pytest.raises(TypeError):
        call(reduce, src, index, 0, torch.ones(2, 2, dtype=torch.float64))


def test_unknown_reduce():
    with pytest.raises(ValueError, match="reduce"):
        torch_scatter.scatter(torch.ones(2), torch.tensor([0, 1]), reduce="median")


def test_broadcast():
    other = torch.empty(2, 5, 3)
    index = torch.arange(5)
    assert torch_scatter.utils.broadcast(index, other, 1).equal(index.view(1, 5, 1).expand(2, 5, 3))
    assert torch_scatter.utils.broadcast(index, other, -2).equal(index.view(1, 5, 1).expand(2, 5, 3))
    pairs = torch.arange(10).view(2, 5)
    assert torch_scatter.utils.broadcast(pairs, other, 1).equal(pairs.view(2, 5, 1).expand(2, 5, 3))
    with pytest.raises(RuntimeError):
        torch_scatter.utils.broadcast(torch.arange(4), other, 1)


def test_large():
    """As many rows as threads and sorted paths of the kernels need."""
    src, index = torch.rand(40_000, 16, dtype=torch.float64), torch.randint(0, 500, (40_000,))
    want = np.zeros((500, 16))
    np.add.at(want, index.numpy(), src.numpy())
    oracle.same(torch_scatter.scatter_sum(src, index, 0), want, torch.float64)
    got, arg = torch_scatter.scatter_max(src, index, 0)
    assert got.equal(src.gather(0, arg))
    want = np.full((500, 16), -np.inf)
    np.maximum.at(want, index.numpy(), src.numpy())
    oracle.same(got, want, torch.float64)
