"""The row-wise optimizers give the numbers of torch's on sparse gradients, and exchange state with them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

import graphkern as gk
from graphkern._op import OPS
from graphkern.optim import RowwiseAdagrad, RowwiseAdam

PAIRS = {
    "adam": (RowwiseAdam, torch.optim.SparseAdam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6}),
    "adam-maximize": (RowwiseAdam, torch.optim.SparseAdam, {"maximize": True}),
    "adagrad": (RowwiseAdagrad, torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.02}),
    "adagrad-start": (RowwiseAdagrad, torch.optim.Adagrad, {"initial_accumulator_value": 0.3, "maximize": True}),
}
CASES = pytest.mark.parametrize("name", PAIRS)


def _table(dtype: torch.dtype = torch.float32, *shape: int) -> Tensor:
    return torch.randn(*(shape or (40, 19)), generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()


def _gradient(table: Tensor, seed: int, size: int = 60, coalesced: bool = False) -> Tensor:
    """Rows of the lower half of the table, many of them more than once."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, table.shape[0] // 2, (1, size), generator=generator)
    values = torch.randn(size, *table.shape[1:], generator=generator).to(table.dtype)
    grad = torch.sparse_coo_tensor(rows, values, table.shape, check_invariants=True)
    return grad.coalesce() if coalesced else grad


def _train(optimizer: torch.optim.Optimizer, table: Tensor, steps: range, **options) -> Tensor:
    for step in steps:
        table.grad = _gradient(table, step, **options)
        optimizer.step()
    return table.detach()


@CASES
@pytest.mark.parametrize("coalesced", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 19), (40,), (40, 3, 5), (40, 64)])
def test_numbers_of_torch(name, coalesced, dtype, shape):
    ours, peer, options = PAIRS[name]
    mine, other = _table(dtype, *shape), _table(dtype, *shape)
    got = _train(ours([mine], **options), mine, range(12), coalesced=coalesced)
    want = _train(peer([other], **options), other, range(12), coalesced=coalesced)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


@CASES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_near_float32(name, dtype):
    ours, _, options = PAIRS[name]
    half, full = _table(dtype), _table(dtype).detach().float().requires_grad_()
    step_half, step_full = ours([half], **options), ours([full], **options)
    grad = _gradient(half, 1)
    half.grad, full.grad = grad, grad.float()
    step_half.step()
    step_full.step()
    torch.testing.assert_close(half.detach().float(), full.detach(), rtol=1e-2, atol=1e-2)
    assert all(t.dtype == dtype for t in step_half.state[half].values() if torch.is_tensor(t) and t.dim())


@CASES
def test_only_rows_named_are_touched(name):
    ours, _, options = PAIRS[name]
    table = _table()
    before = table.detach().clone()
    after = _train(ours([table], **options), table, range(5))
    assert torch.equal(after[20:], before[20:])
    assert (after[:20] != before[:20]).any(1).all()


@CASES
def test_same_bits_on_any_number_of_threads(name):
    ours, _, options = PAIRS[name]
    threads, runs = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            table = _table(torch.float32, 3000, 33)
            runs.append(_train(ours([table], **options), table, range(3), size=20_000))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2])


@CASES
@pytest.mark.parametrize("from_ours", [False, True])
def test_state_goes_both_ways(name, from_ours):
    ours, peer, options = PAIRS[name]
    first, second = (ours, peer) if from_ours else (peer, ours)
    table = _table()
    before = first([table], **options)
    _train(before, table, range(4))
    straight = table.detach().clone().requires_grad_()
    kept = first([straight], **options)
    kept.load_state_dict(copy.deepcopy(before.state_dict()))
    changed = table.detach().clone().requires_grad_()
    taken = second([changed], **options)
    taken.load_state_dict(copy.deepcopy(before.state_dict()))
    want, got = _train(kept, straight, range(4, 8)), _train(taken, changed, range(4, 8))
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@CASES
def test_an_empty_gradient_moves_nothing(name):
    ours, _, options = PAIRS[name]
    table = _table()
    optimizer = ours([table], **options)
    before = table.detach().clone()
    table.grad = torch.sparse_coo_tensor(torch.zeros(1, 0, dtype=torch.long), torch.zeros(0, 19), table.shape)
    optimizer.step()
    table.grad = None
    optimizer.step()
    assert torch.equal(table.detach(), before)


@CASES
def test_groups_and_closures(name):
    ours, _, options = PAIRS[name]
    slow, fast = _table(), _table()
    optimizer = ours([{"params": [slow], "lr": 0.0}], **options)
    optimizer.add_param_group({"params": [fast], "lr": 0.5})
    before = slow.detach().clone()

    def closure() -> float:
        slow.grad, fast.grad = _gradient(slow, 1), _gradient(fast, 1)
        return 3.5

    assert optimizer.step(closure) == 3.5
    assert torch.equal(slow.detach(), before)
    assert not torch.equal(fast.detach(), before)


@CASES
def test_refuses_what_it_cannot_step(name):
    ours, _, options = PAIRS[name]
    table = _table()
    optimizer = ours([table], **options)
    table.grad = torch.zeros_like(table)
    with pytest.raises(RuntimeError, match=r"does not take dense gradients.*sparse=True"):
        optimizer.step()
    table.grad = torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.long), torch.zeros(1), table.shape)
    with pytest.raises(RuntimeError, match="one sparse dimension but one has 2"):
        optimizer.step()
    with pytest.raises(ValueError, match="contiguous"):
        ours([torch.zeros(4, 5).t().requires_grad_()], **options)
    with pytest.raises(TypeError, match="float32"):
        ours([torch.zeros(3, dtype=torch.complex64, requires_grad=True)], **options)


@pytest.mark.parametrize("optimizer", [RowwiseAdam, torch.optim.SparseAdam])
def test_bpr_trains_to_the_same_parameters_as_dense_gathers_with_sparse_adam(optimizer):
    user, item = _table(torch.float64, 30, 8), _table(torch.float64, 50, 8)
    eager_user, eager_item = (
        torch.nn.Embedding(*t.shape, sparse=True, _weight=t.detach().clone()) for t in (user, item)
    )
    ours = optimizer([user, item], lr=0.05)
    peer = torch.optim.SparseAdam([eager_user.weight, eager_item.weight], lr=0.05)
    for step in range(10):
        generator = torch.Generator().manual_seed(step)
        u, i, j = (torch.randint(0, high, (70,), generator=generator) for high in (30, 50, 50))
        ours.zero_grad()
        gk.bpr_loss(user, item, u, i, j, sparse=True).mean().backward()
        ours.step()
        peer.zero_grad()
        score = (eager_user(u) * (eager_item(j) - eager_item(i))).sum(1)
        torch.nn.functional.softplus(score).mean().backward()
        peer.step()
    torch.testing.assert_close(user, eager_user.weight)
    torch.testing.assert_close(item, eager_item.weight)


@CASES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_the_kernel_gives_what_the_reference_gives(name, dtype):
    ours, _, options = PAIRS[name]
    runs = []
    for implementation in ("reference", OPS["rowwise_adam"].active("cpu")):
        with gk.use(implementation, "rowwise_adam", "rowwise_adagrad"):
            table = _table(dtype)
            optimizer = ours([table], **options)
            runs.append([_train(optimizer, table, range(4)), *optimizer.state[table].values()])
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    for want, got in zip(*runs, strict=True):
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("op", ["rowwise_adam", "rowwise_adagrad"])
def test_opcheck(op):
    table = _table().detach()
    state = [torch.rand_like(table) for _ in range(2 if op == "rowwise_adam" else 1)]
    grad = _gradient(table, 1)
    numbers = (0.1, 0.9, 0.99, 1e-8, False) if op == "rowwise_adam" else (0.1, 1e-8, False)
    operator = getattr(torch.ops.graphkern, op).default
    torch.library.opcheck(operator, (table, *state, grad._indices(), grad._values(), *numbers))


ROW, GRADIENT, STATE = torch.tensor([[1]]), torch.ones(1, 19), torch.zeros(40, 19)


@pytest.mark.skipif(OPS["rowwise_adagrad"].active("cpu") != "cpu", reason="libgraphkern_cpu is not built")
@pytest.mark.parametrize(
    ("state", "indices", "values", "message"),
    [
        (STATE, ROW + 39, GRADIENT, r"indices must be in \[0, 40\)"),
        (STATE, ROW - 2, GRADIENT, "indices must be in"),
        (STATE, torch.tensor([[1, 2]]), GRADIENT, "values must be"),
        (STATE, ROW, GRADIENT[:, :18], "values must be"),
        (STATE, ROW, GRADIENT.double(), "values must be"),
        (STATE, ROW[0], GRADIENT, "indices"),
        (STATE, ROW.int(), GRADIENT, "indices"),
        (STATE[:39], ROW, GRADIENT, "the state must be"),
        (STATE.double(), ROW, GRADIENT, "the state must be"),
    ],
)
def test_the_raw_operator_refuses_what_would_write_elsewhere(state, indices, values, message):
    table = _table().detach()
    before = table.clone()
    with pytest.raises(RuntimeError, match=message):
        torch.ops.graphkern.rowwise_adagrad(table, state, indices, values, 0.1, 1e-8, False)
    assert torch.equal(table, before)


def test_autograd_sees_that_a_parameter_was_changed():
    table = _table()
    optimizer = RowwiseAdam([table])
    kept = (table * table).sum()
    table.grad = _gradient(table, 1)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.backward()


def test_weight_decay_of_a_loaded_state_is_refused():
    table = _table()
    optimizer = RowwiseAdagrad([table])
    optimizer.load_state_dict(torch.optim.Adagrad([_table()], weight_decay=0.1).state_dict())
    table.grad = _gradient(table, 1)
    with pytest.raises(RuntimeError, match=r"no weight decay but it is 0\.1"):
        optimizer.step()


@CASES
def test_schedulers_and_tensor_rates(name):
    ours, peer, options = PAIRS[name]
    mine, other = _table(), _table()
    for table, kind in ((mine, ours), (other, peer)):
        optimizer = kind([table], **{**options, "lr": torch.tensor(0.1)})
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        for step in range(4):
            _train(optimizer, table, range(step, step + 1))
            scheduler.step()
    torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)
