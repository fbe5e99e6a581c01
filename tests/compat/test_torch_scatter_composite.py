"""softmax, log_softmax, logsumexp and std over groups against NumPy."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import graphkern.compat.torch_scatter as torch_scatter

from . import torch_scatter_oracle as oracle

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = {  # src, index, dim, size
    "vector": ((9,), (9,), 0, 5),
    "rows": ((9, 3), (9,), 0, 5),
    "wide_rows": ((9, 20), (9,), 0, 5),
    "columns": ((3, 9), (9,), -1, 5),
    "one_index_an_entry": ((2, 9, 3), (2, 9, 3), 1, 4),
    "leading_axes": ((2, 9, 3), (2, 9), -2, 4),
}
REPEATED = {  # an index that is the same for all entries along dim
    "one_index_for_all": ((9, 3), (1,), 0, 2),
    "fewer_axes_than_dim": ((2, 2, 9), (2, 1), 2, 4),
}
NAN, INF = float("nan"), float("inf")
TOLERANCE = {
    **oracle.TOLERANCE,
    torch.float16: {"rtol": 1e-2, "atol": 1e-2},
    torch.bfloat16: {"rtol": 5e-2, "atol": 8e-2},
}


def case(name, dtype=torch.float32):
    shape, index_shape, dim, size = (SHAPES | REPEATED)[name]
    return oracle.values(shape, dtype), oracle.indices(index_shape, size), dim, size


def groups(src, index, dim, size):
    """(place in the result, places in src, values) of each group that has entries."""
    numbers, places = oracle.array(src), oracle.spread(index.numpy(), tuple(src.shape), dim)
    for line in oracle.lines(numbers.shape, dim):
        for n in range(size):
            entries = np.flatnonzero(places[line] == n)
            if len(entries):
                at = tuple(n if part == slice(None) else part for part in line)
                named = tuple(entries if part == slice(None) else part for part in line)
                yield at, named, numbers[named]


def softmax(src, index, dim, size):
    want = np.zeros(src.shape)
    for _at, named, numbers in groups(src, index, dim, size):
        weight = np.exp(numbers - numbers.max())
        want[named] = weight / weight.sum()
    return want


def reduced(src, index, dim, size, function, start=None):
    shape = list(src.shape)
    shape[dim] = size
    want = np.zeros(shape) if start is None else oracle.array(start).copy()
    for at, _named, numbers in groups(src, index, dim, size):
        want[at] = function(numbers)
    return want


def std(unbiased):
    def function(numbers):
        divisor = max(len(numbers) - 1, 1) if unbiased else len(numbers)
        return np.sqrt(((numbers - numbers.mean()) ** 2).sum() / (divisor + 1e-6))

    return function


def same(got, want, dtype):
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), torch.from_numpy(want), **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", oracle.FLOATS)
@pytest.mark.parametrize("name", SHAPES)
def test_softmax(name, dtype):
    src, index, dim, size = case(name, dtype)
    want = softmax(src, index, dim, size)
    same(torch_scatter.scatter_softmax(src, index, dim), want, dtype)
    same(torch_scatter.scatter_softmax(src, index, dim, size + 3), want, dtype)
    same(torch_scatter.scatter_log_softmax(src, index, dim), np.log(want), dtype)
    same(torch_scatter.scatter_log_softmax(src, index, dim, dim_size=size + 3), np.log(want), dtype)


@pytest.mark.parametrize("dtype", oracle.FLOATS)
@pytest.mark.parametrize("name", SHAPES)
def test_logsumexp(name, dtype):
    src, index, dim, size = case(name, dtype)
    want = reduced(src, index, dim, size, lambda numbers: np.log(np.exp(numbers).sum()))
    same(torch_scatter.scatter_logsumexp(src, index, dim, dim_size=size), want, dtype)
    assert torch_scatter.scatter_logsumexp(src, index, dim).shape[dim] == int(index.max()) + 1


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("dtype", oracle.FLOATS)
@pytest.mark.parametrize("name", SHAPES | REPEATED)
def test_std(name, dtype, unbiased):
    src, index, dim, size = case(name, dtype)
    want = reduced(src, index, dim, size, std(unbiased))
    same(torch_scatter.scatter_std(src, index, dim, dim_size=size, unbiased=unbiased), want, dtype)
    assert torch_scatter.scatter_std(src, index, dim).shape[dim] == int(index.max()) + 1


def test_std_of_integers():
    src, index = torch.tensor([1, 2, 6, 5]), torch.tensor([0, 0, 0, 2])
    got = torch_scatter.scatter_std(src, index)
    torch.testing.assert_close(got, torch.tensor([7.0**0.5, 0, 0]), rtol=1e-5, atol=1e-5)


def test_std_of_many_halves():
    """More entries than a half can count."""
    src = torch.tensor([0.0, 2.0]).repeat(5000).half()
    got = torch_scatter.scatter_std(src, torch.zeros(10_000, dtype=torch.int64))
    torch.testing.assert_close(got, torch.ones(1).half(), rtol=4e-3, atol=0)


def test_std_adds_to_out():
    src, index = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1])
    out = torch.tensor([1.0, 4.0])
    got = torch_scatter.scatter_std(src, index, out=out)
    assert out.tolist() == [3, 4], "squared deviations"
    torch.testing.assert_close(got, torch.tensor([3.0, 4.0]).sqrt(), rtol=1e-5, atol=0)


def test_eps():
    src, index = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0, 0, 1])
    got = torch_scatter.scatter_log_softmax(src, index, eps=2.0)
    torch.testing.assert_close(got, -torch.tensor([4.0, 4.0, 3.0]).log())
    got = torch_scatter.scatter_logsumexp(src, index, eps=2.0)
    torch.testing.assert_close(got, torch.tensor([np.log(4), np.log(3) + 1], dtype=torch.float32))


def test_large_values_do_not_overflow():
    src, index = torch.tensor([1e30, 1e30, -1e30, 5e4]), torch.tensor([0, 0, 1, 2])
    assert torch_scatter.scatter_softmax(src, index).tolist() == [0.5, 0.5, 1, 1]
    torch.testing.assert_close(torch_scatter.scatter_logsumexp(src, index), torch.tensor([1e30, -1e30, 5e4]))


def test_minus_infinity_has_no_weight():
    src, index = torch.tensor([0.0, -INF, 1.0]), torch.tensor([0, 0, 1])
    assert torch_scatter.scatter_softmax(src, index).tolist() == [1, 0, 1]
    assert torch_scatter.scatter_log_softmax(src, index).tolist() == [0, -INF, 0]
    assert torch_scatter.scatter_logsumexp(src, index).tolist() == [0, 1]


def test_logsumexp_of_what_is_not_finite():
    """0 stands for minus infinity, as where there are no entries; NaN is passed over."""
    src, index = torch.tensor([-INF, NAN, 2.0, INF, 1.0]), torch.tensor([0, 1, 1, 3, 3])
    largest = torch.finfo(torch.float32).max
    assert torch_scatter.scatter_logsumexp(src, index).tolist() == [0, 2, 0, largest]


def test_softmax_of_what_is_not_finite():
    src, index = torch.tensor([NAN, 2.0, 3.0, 3.0]), torch.tensor([0, 0, 1, 1])
    got = torch_scatter.scatter_softmax(src, index)
    assert got[:2].isnan().all()
    assert got[2:].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", SHAPES)
def test_logsumexp_out(name):
    """out is one more entry of its place, is written and is what comes back."""
    src, index, dim, size = case(name, torch.float64)
    shape = list(src.shape)
    shape[dim] = size
    out = oracle.values(tuple(shape), torch.float64, seed=1)
    want = oracle.array(out).copy()
    for at, _named, numbers in groups(src, index, dim, size):
        want[at] = np.log(np.exp(numbers).sum() + np.exp(want[at]))
    got = torch_scatter.scatter_logsumexp(src, index, dim, out)
    assert got is out or got.data_ptr() == out.data_ptr()
    same(out, want, torch.float64)


def test_logsumexp_of_a_large_out():
    src, index, out = torch.tensor([0.0, 1.0]), torch.tensor([0, 1]), torch.tensor([1000.0, -1e4, 3.0])
    assert torch_scatter.scatter_logsumexp(src, index, out=out).tolist() == [1000, 1, 3]


def test_without_entries():
    src, index = torch.ones(0, 3, requires_grad=True), torch.zeros(0, dtype=torch.int64)
    for got in (
        torch_scatter.scatter_softmax(src, index, 0),
        torch_scatter.scatter_log_softmax(src, index, 0),
        torch_scatter.scatter_logsumexp(src, index, 0),
        torch_scatter.scatter_std(src, index, 0),
    ):
        assert got.shape == (0, 3)
        got.sum().backward()
    assert torch_scatter.scatter_logsumexp(src, index, 0, dim_size=2).tolist() == [[0, 0, 0]] * 2
    assert torch_scatter.scatter_std(src, index, 0, dim_size=2).tolist() == [[0, 0, 0]] * 2
    assert torch_scatter.scatter_std(src, torch.tensor([1]), 0).tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("function", ["softmax", "log_softmax", "logsumexp", "std"])
def test_gradients(function, name):
    src, index, dim, size = case(name, torch.float64)
    src = (src + torch.linspace(0, 0.1, src.numel()).reshape(src.shape)).requires_grad_()  # no ties
    if function == "std":  # which has no slope at 0: two entries or more everywhere
        index, size = torch.arange(9).div(3, rounding_mode="floor"), 3
    call = getattr(torch_scatter, f"scatter_{function}")
    assert gradcheck(lambda src: call(src, index, dim, dim_size=size), (src,))
    if name == "rows":
        assert gradgradcheck(lambda src: call(src, index, dim, dim_size=size), (src,))


@pytest.mark.parametrize("function", ["log_softmax", "logsumexp"])
def test_gradients_with_a_large_eps(function):
    src, index, dim, _size = case("rows", torch.float64)
    src = (src + torch.linspace(0, 0.1, src.numel()).reshape(src.shape)).requires_grad_()
    call = getattr(torch_scatter, f"scatter_{function}")
    assert gradcheck(lambda src: call(src, index, dim, eps=0.5), (src,))


@pytest.mark.parametrize("function", ["logsumexp", "std"])
def test_gradients_of_out(function):
    src = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(6, 2).requires_grad_()
    out = torch.linspace(0.5, 1.5, 8, dtype=torch.float64).reshape(4, 2).requires_grad_()
    index = torch.tensor([0, 0, 1, 1, 3, 3])
    call = getattr(torch_scatter, f"scatter_{function}")
    assert gradcheck(lambda src, out: call(src, index, 0, out * 1), (src, out))


@pytest.mark.parametrize("function", ["softmax", "log_softmax", "logsumexp", "std"])
def test_bad_arguments(function):
    call = getattr(torch_scatter, f"scatter_{function}")
    src, index = torch.ones(3, 2), torch.tensor([0, 1, 1])
    for bad in (torch.tensor([0, 1, -1]), torch.tensor([0, 1, 4])):
        with pytest.raises(ValueError, match="index"):
            call(src, bad, 0, dim_size=3)
    with pytest.raises(ValueError, match="broadcast"):
        call(src, index[:2], 0)
    with pytest.raises(TypeError):
        call(src, index.float(), 0)
    with pytest.raises(ValueError, match="negative"):
        call(src, index, 0, dim_size=-1)
    if function == "std":
        with pytest.raises(NotImplementedError):
            call(src.cfloat(), index, 0)
    else:
        with pytest.raises(ValueError, match="floating"):
            call(src.long(), index, 0)
