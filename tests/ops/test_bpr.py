"""What bpr_loss and bce_loss promise beyond the contract: sparse gradients, order of sums, large scores, inf, NaN."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import graphkern as gk
from graphkern.ops.pair_gradient import PAIR_GRADIENT, PAIR_GRADIENT_ROWS

LOSSES = ("bpr_loss", "bce_loss")


def _tables(num_users: int = 50, num_items: int = 60, depth: int = 13, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    user = torch.randn(num_users, depth, generator=generator, dtype=torch.float64)
    item = torch.randn(num_items, depth, generator=generator, dtype=torch.float64)
    return user.to(dtype).requires_grad_(), item.to(dtype).requires_grad_()


def _index(high: int, size: int, seed: int) -> Tensor:
    return torch.randint(0, high, (size,), generator=torch.Generator().manual_seed(seed))


def _loss(name: str, user: Tensor, item: Tensor, size: int, sparse: bool = False) -> Tensor:
    u, i = _index(user.shape[0], size, 1), _index(item.shape[0], size, 2)
    if name == "bpr_loss":
        return gk.bpr_loss(user, item, u, i, _index(item.shape[0], size, 3), sparse=sparse)
    return gk.bce_loss(user, item, u, i, (_index(2, size, 4)).float(), sparse=sparse)


def _eager(name: str, user: Tensor, item: Tensor, size: int) -> Tensor:
    u, i = _index(user.shape[0], size, 1), _index(item.shape[0], size, 2)
    score = (user[u] * item[i]).sum(1)
    if name == "bpr_loss":
        return F.softplus((user[u] * item[_index(item.shape[0], size, 3)]).sum(1) - score)
    return F.binary_cross_entropy_with_logits(score, _index(2, size, 4).to(score.dtype), reduction="none")


@pytest.mark.parametrize("name", LOSSES)
def test_is_the_gathered_loss(name):
    user, item = _tables()
    ours, eager = _loss(name, user, item, 500), _eager(name, user, item, 500)
    torch.testing.assert_close(ours, eager)
    weight = torch.linspace(-1, 1, 500, dtype=torch.float64)
    for got, want in zip(*(torch.autograd.grad(x @ weight, [user, item]) for x in (ours, eager)), strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [0, 1, 7, 4000])
def test_sparse_gradients_are_the_dense_ones(name, dtype, size):
    dense, sparse = _tables(dtype=dtype), _tables(dtype=dtype)
    _loss(name, *dense, size).sum().backward()
    _loss(name, *sparse, size, sparse=True).sum().backward()
    for one, other in zip(dense, sparse, strict=True):
        grad = other.grad
        assert grad is not None
        assert grad.is_sparse
        assert grad.is_coalesced()
        rows = grad.indices()[0]
        assert (rows[1:] > rows[:-1]).all()
        assert torch.equal(grad.to_dense(), one.grad)


@pytest.mark.parametrize("name", LOSSES)
def test_sparse_gradients_name_only_the_rows_of_the_batch(name):
    user, item = _tables()
    _loss(name, user, item, 5, sparse=True).sum().backward()
    assert user.grad.indices()[0].tolist() == _index(50, 5, 1).unique().tolist()


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_add_up_over_calls(sparse):
    user, item = _tables()
    for _ in range(2):
        _loss("bpr_loss", user, item, 30, sparse).sum().backward()
    once_user, once_item = _tables()
    _loss("bpr_loss", once_user, once_item, 30).sum().backward()
    for twice, once in ((user, once_user), (item, once_item)):
        torch.testing.assert_close(twice.grad.to_dense() if sparse else twice.grad, 2 * once.grad)


def test_one_table_for_users_and_items():
    table, _ = _tables()
    u, i, j = (_index(50, 200, seed) for seed in range(3))
    (got,) = torch.autograd.grad(gk.bpr_loss(table, table, u, i, j).sum(), table)
    (want,) = torch.autograd.grad(F.softplus((table[u] * (table[j] - table[i])).sum(1)).sum(), table)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_duplicates_give_the_same_bits_on_any_number_of_threads(name, sparse):
    """Every row is named some hundreds of times."""
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 2, 5, 2):
            torch.set_num_threads(count)
            user, item = _tables(7, 9, 33, torch.float32)
            _loss(name, user, item, 5000, sparse).sum().backward()
            runs.append([t.grad.to_dense() if sparse else t.grad for t in (user, item)])
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(run, runs[0], strict=True))


def test_duplicates_add_up_in_the_order_of_the_batch():
    """1 is lost beside 2^24 if it is added one by one, but not if the small ones come first."""
    user = torch.zeros(1, 1, requires_grad=True)
    item = torch.tensor([[2.0**25], [2.0], [0.0]])
    u = torch.zeros(9, dtype=torch.long)
    large_first, large_last = torch.tensor([0] + [1] * 8), torch.tensor([1] * 8 + [0])
    none = torch.full((9,), 2)
    (first,) = torch.autograd.grad(gk.bpr_loss(user, item, u, large_first, none).sum(), user)
    (last,) = torch.autograd.grad(gk.bpr_loss(user, item, u, large_last, none).sum(), user)
    assert (first.item(), last.item()) == (-(2.0**24), -(2.0**24) - 8)


@pytest.mark.parametrize("score", [0.0, 1e-4, 30.0, 90.0, 1e4, 1e30, -1e-4, -30.0, -90.0, -1e4, -1e30])
def test_scores_of_any_size(score):
    user, item = torch.tensor([[1.0]], requires_grad=True), torch.tensor([[score], [0.0]])
    zero, one = torch.tensor([0]), torch.tensor([1])
    for label in (0.0, 1.0, 0.3):
        got = gk.bce_loss(user, item, zero, zero, torch.tensor([label]))
        logit = torch.tensor(score).double()
        want = -label * F.logsigmoid(logit) - (1 - label) * F.logsigmoid(-logit)
        assert float(got.detach()) == pytest.approx(float(want), rel=1e-5, abs=1e-30)
    got = gk.bpr_loss(user, item, zero, zero, one)
    assert float(got.detach()) == pytest.approx(float(-F.logsigmoid(torch.tensor(score).double())), rel=1e-5, abs=1e-37)
    (grad,) = torch.autograd.grad(got, user)
    exact = -score * float(torch.sigmoid(torch.tensor(-score).double()))
    assert float(grad) == pytest.approx(exact, rel=1e-5, abs=1e-30)


def test_infinite_differences():
    user = torch.tensor([[1.0]], requires_grad=True)
    item = torch.tensor([[math.inf], [0.0]])
    u = torch.tensor([0, 0])
    loss = gk.bpr_loss(user, item, u, torch.tensor([0, 1]), torch.tensor([1, 0]))
    assert loss.tolist() == [0, math.inf]


@pytest.mark.parametrize("sparse", [False, True])
def test_nan_stays_in_the_triples_that_name_it(sparse):
    user, item = _tables(3, 6, 4)
    with torch.no_grad():
        item[4, 1] = math.nan
    u, i, j = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    loss = gk.bpr_loss(user, item, u, i, j, sparse=sparse)
    assert loss.isnan().tolist() == [False, True, False]
    loss.sum().backward()
    grad = user.grad.to_dense() if sparse else user.grad
    assert grad.isnan().all(1).tolist() == [False, True, False]
    assert grad[[0, 2]].isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_inf_are_those_of_the_reference(name):
    """0 times inf is NaN in both, and inf minus inf; rows that share no triple with an inf are finite."""
    grads = []
    for implementation in (None, "reference"):
        user, item = _tables(6, 8, 5)
        with torch.no_grad():
            user[1, 2], item[3], item[4, 0] = math.inf, -math.inf, math.inf
        with gk.use(implementation or gk._op.OPS[name].active("cpu"), name, "pair_gradient"):
            grads.append(torch.autograd.grad(_loss(name, user, item, 40).sum(), [user, item]))
    for got, want in zip(*grads, strict=True):
        torch.testing.assert_close(got, want, equal_nan=True)


def _arguments(dtype: torch.dtype, index_dtype: torch.dtype, triple: bool = True) -> tuple:
    user, item = (table.detach() for table in _tables(20, 30, 21, dtype))
    u, i, j = (_index(high, 90, seed).to(index_dtype) for seed, high in enumerate((20, 30, 30)))
    slope = torch.linspace(-1, 1, 90, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    return torch.full((90,), 0.5, dtype=dtype), slope, user, item, u, i, j if triple else None


@pytest.mark.parametrize("triple", [True, False])
@pytest.mark.parametrize("needs", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_rows_of_the_gradient_are_those_of_the_reference(dtype, index_dtype, needs, triple):
    arguments = (*_arguments(dtype, index_dtype, triple), *needs)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    expected = PAIR_GRADIENT_ROWS.reference(*arguments)
    for got, want in zip(PAIR_GRADIENT_ROWS(*arguments), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


def test_opcheck_of_the_gradient_s_rows():
    torch.library.opcheck(
        torch.ops.graphkern.pair_gradient_rows.default, (*_arguments(torch.float32, torch.int64), True, True)
    )


@pytest.mark.parametrize(
    "change",
    [{0: torch.ones(89)}, {1: torch.ones(90).double()}, {4: torch.full((90,), 20)}, {6: torch.full((90,), -1)}],
)
def test_the_raw_operator_refuses_what_would_read_elsewhere(change):
    arguments = list(_arguments(torch.float32, torch.int64))
    for place, value in change.items():
        arguments[place] = value
    for op in (PAIR_GRADIENT, PAIR_GRADIENT_ROWS):
        if op.active("cpu") == "cpu":
            with pytest.raises(RuntimeError, match="must be"):
                op(*arguments, True, True)


def test_one_table_for_users_and_items_trains_as_with_dense_gradients():
    """Two sparse gradients of one table add up to one that is not coalesced."""
    tables = [_tables()[0] for _ in range(2)]
    sparse, dense = gk.optim.RowwiseAdagrad(tables[:1], lr=0.1), torch.optim.Adagrad(tables[1:], lr=0.1)
    for step in range(5):
        u, i, j = (_index(50, 200, 10 * step + seed) for seed in range(3))
        for table, optimizer in zip(tables, (sparse, dense), strict=True):
            optimizer.zero_grad()
            gk.bpr_loss(table, table, u, i, j, sparse=optimizer is sparse).sum().backward()
            optimizer.step()
    torch.testing.assert_close(*tables)


def test_sparse_gradients_of_many_rows_and_triples():
    """More than one pass of the sort, more bits than one digit has."""
    user, item = _tables(3_000_000, 5000, 1)
    u, i, j = _index(3_000_000, 20_000, 1), _index(5000, 20_000, 2), _index(5000, 20_000, 3)
    got = torch.autograd.grad(gk.bpr_loss(user, item, u, i, j, sparse=True).sum(), [user, item])
    want = torch.autograd.grad(gk.bpr_loss(user, item, u, i, j).sum(), [user, item])
    assert torch.equal(got[0].indices()[0], u.unique())
    for one, other in zip(got, want, strict=True):
        assert torch.equal(one.to_dense(), other)


def test_only_one_table_asks_for_a_gradient():
    user, item = _tables()
    (got,) = torch.autograd.grad(_loss("bpr_loss", user, item.detach(), 40).sum(), user)
    (want, _) = torch.autograd.grad(_loss("bpr_loss", user, item, 40).sum(), [user, item])
    assert torch.equal(got, want)


def test_sparse_is_for_eager_mode():
    user, item = _tables()
    u, i, j = _index(50, 9, 1), _index(60, 9, 2), _index(60, 9, 3)
    compiled = torch.compile(gk.bpr_loss, fullgraph=True, backend="aot_eager")
    with pytest.raises(Exception, match="sparse=True is for eager mode"):
        compiled(user, item, u, i, j, sparse=True)
    assert torch.equal(compiled(user, item, u, i, j), gk.bpr_loss(user, item, u, i, j))


def test_index_dtypes_may_differ():
    user, item = _tables()
    u, i, j = _index(50, 9, 1), _index(60, 9, 2), _index(60, 9, 3)
    assert torch.equal(gk.bpr_loss(user, item, u.int(), i, j.int()), gk.bpr_loss(user, item, u, i, j))


X, ZERO = torch.zeros(3, 4), torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gk.bpr_loss(X, X, ZERO + 1, ZERO, ZERO), ValueError, r"u must be in \[0, 3\) but runs from 1 to 3"),
        (lambda: gk.bpr_loss(X, X, ZERO, ZERO - 1, ZERO), ValueError, r"i must be in \[0, 3\) but runs from -1"),
        (lambda: gk.bpr_loss(X, X, ZERO, ZERO, ZERO * 9), ValueError, r"j must be in \[0, 3\)"),
        (lambda: gk.bce_loss(X, X, ZERO, ZERO * 9, X[:, 0]), ValueError, r"i must be in \[0, 3\)"),
        (lambda: gk.bpr_loss(X, X, ZERO[:2], ZERO, ZERO), ValueError, r"i must be \[2\]"),
        (lambda: gk.bpr_loss(X, X, ZERO[None], ZERO, ZERO), ValueError, "u must be"),
        (lambda: gk.bpr_loss(X, X, ZERO.float(), ZERO, ZERO), TypeError, "u must be an int32 or int64"),
        (lambda: gk.bpr_loss(X, X[:, :2], ZERO, ZERO, ZERO), ValueError, r"user must be \[U, D\]"),
        (lambda: gk.bpr_loss(X, X.double(), ZERO, ZERO, ZERO), TypeError, "item is torch.float64"),
        (lambda: gk.bpr_loss(X, X, ZERO, ZERO.to("meta"), ZERO), ValueError, "on meta"),
        (lambda: gk.bce_loss(X, X, ZERO, ZERO, ZERO), TypeError, "label must be a floating"),
        (lambda: gk.bce_loss(X, X, ZERO, ZERO, X[:2, 0]), ValueError, r"label must be \[3\]"),
    ],
)
def test_bpr_and_bce_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()
