"""What the segment and scatter ops promise beyond the contract."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import graphkern as gk

from .test_contract import TOLERANCE

AMAX = {"sum": "sum", "mean": "mean", "max": "amax", "min": "amin"}


def _torch_scatter_reduce(src: Tensor, index: Tensor, size: int, reduce: str, dim: int) -> Tensor:
    """torch's own, in float64; index of src's shape."""
    shape = list(src.shape)
    shape[dim] = size
    out = torch.zeros(shape, dtype=torch.float64)
    return out.scatter_reduce(dim, index.long(), src.double(), AMAX[reduce], include_self=False)


def _along(index: Tensor, like: Tensor, dim: int) -> Tensor:
    shape = [1] * like.dim()
    shape[dim] = -1
    return index.view(shape).expand(like.shape)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("reduce", AMAX)
def test_scatter_and_segment_agree_with_torch(reduce, dim, index_dtype, dtype):
    torch.manual_seed(0)
    src = torch.randn(9, 40, 21).to(dtype)
    length = src.shape[dim]
    index = torch.randint(0, 12, (length,), dtype=index_dtype)
    full = torch.randint(0, 12, src.shape, dtype=index_dtype)
    for given in (index, _along(index, src, dim), full):
        wide = given if given.dim() == 3 else _along(index, src, dim)
        got = gk.scatter_reduce(src, given, 12, reduce, dim)
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), _torch_scatter_reduce(src, wide, 12, reduce, dim), **TOLERANCE[dtype])
    ordered = index.sort().values
    indptr = torch.searchsorted(ordered.long(), torch.arange(13)).to(index_dtype)
    got = gk.segment_reduce(src, indptr, reduce, dim)
    want = _torch_scatter_reduce(src, _along(ordered, src, dim), 12, reduce, dim)
    torch.testing.assert_close(got.double(), want, **TOLERANCE[dtype])
    assert torch.equal(gk.gather_csr(got, indptr, dim), got.index_select(dim, ordered))


@pytest.mark.parametrize("features", [1, 5, 64])
@pytest.mark.parametrize("reduce", AMAX)
def test_an_index_that_is_a_hub_or_nearly_unique(reduce, features):
    """Half of all entries at one place, and about as many places as entries."""
    torch.manual_seed(1)
    length = 60_000
    src = torch.randn(length, features)
    for size, hub in ((300, length // 2), (length, length // 2), (length, 0)):
        index = torch.randint(0, size, (length,))
        index[torch.randperm(length)[:hub]] = 7
        want = _torch_scatter_reduce(src, _along(index, src, 0), size, reduce, 0)
        got = gk.scatter_reduce(src, index, size, reduce)
        torch.testing.assert_close(got.double(), want, rtol=2e-5, atol=5e-4)
        both = gk.scatter_reduce(src, torch.stack([index] * features, 1), size, reduce)
        torch.testing.assert_close(both, got, rtol=2e-5, atol=5e-4)


def test_scatter_shapes_that_broadcast():
    src = torch.arange(24.0).view(2, 3, 4)
    rows = torch.tensor([[1], [0]])  # lacks an axis at the end, repeats along one
    assert torch.equal(gk.scatter_reduce(src, rows, 2, dim=0), src.flip(0))
    per_column = torch.tensor([0, 1, 0, 1]).view(1, 1, 4).expand(2, 1, 4)
    got = gk.scatter_reduce(src, per_column, 2, dim=1)
    assert torch.equal(got[:, 0, ::2], src.sum(1)[:, ::2])
    assert torch.equal(got[:, 1, 1::2], src.sum(1)[:, 1::2])
    assert torch.equal(got[:, 1, ::2], torch.zeros(2, 2))


def test_dim_size_is_one_more_than_the_largest_index():
    src = torch.ones(4, 2)
    assert gk.scatter_reduce(src, torch.tensor([0, 5, 5, 1])).shape == (6, 2)
    assert gk.scatter_reduce(src[:0], torch.empty(0, dtype=torch.long)).shape == (0, 2)
    assert gk.scatter_reduce(src.t(), torch.tensor([0, 5, 5, 1]), dim=-1).shape == (2, 6)


def test_out_takes_part():
    """torch_scatter's results: sum adds, mean adds and divides, max and min compare; places without entries stay."""
    src, index = torch.tensor([1.0, 5.0, -2.0, 4.0]), torch.tensor([0, 0, 2, 2])
    start = torch.tensor([10.0, 7.0, 3.0])
    for reduce, want in (
        ("sum", [16, 7, 5]),
        ("mean", [8, 7, 2.5]),
        ("max", [10, 7, 4]),
        ("min", [1, 7, -2]),
    ):
        out = start.clone()
        assert gk.scatter_reduce(src, index, reduce=reduce, out=out) is out
        assert out.tolist() == want
    torch_scatter = pytest.importorskip("torch_scatter")
    if hasattr(torch.ops.torch_scatter, "scatter_max"):
        for reduce in AMAX:
            mine, theirs = start.clone(), start.clone()
            gk.scatter_reduce(src, index, reduce=reduce, out=mine)
            torch_scatter.scatter(src, index, 0, theirs, reduce=reduce)
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("reduce", AMAX)
def test_out_is_differentiable(reduce):
    torch.manual_seed(2)
    src = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    start = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 2, 2, 0, 3, 2])
    assert torch.autograd.gradcheck(
        lambda s, o: gk.scatter_reduce(s, index, reduce=reduce, out=o.clone()), (src, start)
    )


def test_nan_wins_and_the_first_of_equals_takes_the_gradient():
    src = torch.tensor([1.0, math.nan, 5.0, math.nan, 2.0, 2.0], requires_grad=True)
    index, indptr = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 4, 6])
    for reduced in (gk.segment_reduce(src, indptr, "max"), gk.scatter_reduce(src, index, 2, "min")):
        assert reduced.isnan().tolist() == [True, False]
        (grad,) = torch.autograd.grad(reduced, src, torch.ones(2))
        assert grad.tolist() == [0, 1, 0, 0, 1, 0]


def test_entries_outside_of_all_segments_get_no_gradient():
    src = torch.randn(8, 2, requires_grad=True)
    for reduce in AMAX:
        (grad,) = torch.autograd.grad(gk.segment_reduce(src, torch.tensor([2, 4, 4, 5]), reduce).sum(), src)
        assert (grad[:2] == 0).all()
        assert (grad[5:] == 0).all()
        assert (grad[4] == 1).all()


def test_gather_csr_size_follows_from_data():
    """Eager, exported and compiled without output_size."""
    src, indptr = torch.randn(3, 2), torch.tensor([0, 2, 2, 5])
    want = src[[0, 0, 2, 2, 2]]
    assert torch.equal(gk.gather_csr(src, indptr), want)
    assert torch.equal(gk.gather_csr(src.t(), indptr, dim=1), want.t())

    class Module(torch.nn.Module):
        def forward(self, src, indptr):
            return gk.gather_csr(src, indptr)

    assert torch.equal(torch.export.export(Module(), (src, indptr)).module()(src, indptr), want)
    with torch._dynamo.config.patch(capture_scalar_outputs=True):
        compiled = torch.compile(gk.gather_csr, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(src, indptr), want)


def test_segment_matmul_agrees_with_a_loop_for_transposed_weights():
    torch.manual_seed(3)
    x, weight = torch.randn(70, 6, dtype=torch.float64), torch.randn(4, 5, 6, dtype=torch.float64)
    indptr = torch.tensor([0, 20, 20, 69, 70])
    want = torch.cat([x[0:20] @ weight[0].T, x[20:69] @ weight[2].T, x[69:] @ weight[3].T])
    torch.testing.assert_close(gk.segment_matmul(x, indptr, weight.mT), want)
