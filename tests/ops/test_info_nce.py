"""What info_nce promises beyond the contract: positives, ids, both directions, temperature, inf and NaN."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import graphkern as gk
from graphkern import CSR

from .memory import peak_extra_bytes


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss @ _normal(loss.shape[0], seed=9), leaves)


def _same(ours: Tensor, eager: Tensor, *leaves: Tensor) -> None:
    torch.testing.assert_close(ours, eager)
    for got, want in zip(_gradients(ours, *leaves), _gradients(eager, *leaves), strict=True):
        torch.testing.assert_close(got, want)


def _leaves(num_queries: int = 40, num_keys: int = 700, depth: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    query, key, bias = _normal(num_queries, depth, seed=1), _normal(num_keys, depth, seed=2), _normal(num_keys, seed=3)
    temperature = torch.tensor(0.7, dtype=torch.float64)
    return tuple(t.requires_grad_() for t in (query, key, bias, temperature))


def test_is_cross_entropy():
    query, key, bias, temperature = _leaves()
    target = torch.randint(0, 700, (40,), generator=torch.Generator().manual_seed(4))
    eager = F.cross_entropy(query @ key.T / temperature + bias, target, reduction="none")
    _same(gk.info_nce(query, key, target, temperature, bias), eager, query, key, bias, temperature)


def test_several_positives_are_cross_entropy_with_a_share_for_each():
    query, key, bias, temperature = _leaves()
    share = (_normal(40, 700, seed=5) > 2.2).double()
    share[0] = 0
    share[1, 3] = 2  # stored twice
    row, column = torch.repeat_interleave(share.nonzero(), share[share > 0].long(), dim=0).T
    target = CSR.from_edge_index(torch.stack([column, row]), 40, 700)
    logits = query @ key.T / temperature + bias
    number = share.sum(1, keepdim=True)
    eager = torch.where(number[:, 0] > 0, -(share / number.clamp(min=1) * logits.log_softmax(1)).sum(1), 0)
    _same(gk.info_nce(query, key, target, temperature, bias), eager, query, key, bias, temperature)
    without = gk.info_nce(query, key, target, temperature, bias)[0]
    assert without == 0
    assert torch.autograd.grad(without, query)[0].count_nonzero() == 0


def test_positives_in_any_order():
    query, key, _, _ = _leaves(2, 30)
    sorted_rows = CSR(torch.tensor([0, 3, 5]), torch.tensor([1, 4, 9, 0, 29]), 30)
    mixed = CSR(torch.tensor([0, 3, 5]), torch.tensor([9, 1, 4, 29, 0]), 30)
    assert torch.equal(gk.info_nce(query, key, sorted_rows), gk.info_nce(query, key, mixed))


@pytest.mark.parametrize("several", [False, True])
def test_keys_with_the_id_of_a_positive_are_no_negatives(several):
    query, key, bias, temperature = _leaves(20, 300)
    key_id = torch.randint(0, 40, (300,), generator=torch.Generator().manual_seed(6))
    positive = torch.zeros(20, 300, dtype=torch.bool)
    positive[torch.arange(20), torch.arange(20) * 7] = True
    if several:
        positive |= _normal(20, 300, seed=7) > 2
    target = CSR.from_edge_index(positive.nonzero().T.flip(0), 20, 300) if several else torch.arange(20) * 7
    left_out = (positive.double() @ F.one_hot(key_id, 40).double())[:, key_id].bool() & ~positive
    assert left_out.any()
    logits = (query @ key.T / temperature + bias).masked_fill(left_out, -math.inf)
    mean = torch.where(positive, logits, 0).sum(1) / positive.sum(1)
    eager = logits.logsumexp(1) - mean
    _same(gk.info_nce(query, key, target, temperature, bias, key_id=key_id), eager, query, key, bias, temperature)


def test_only_one_item_leaves_no_negative():
    query, key, _, _ = _leaves(3, 8)
    assert gk.info_nce(query, key, key_id=torch.full((8,), -5)).tolist() == [0, 0, 0]


def test_ids_that_differ_change_nothing():
    query, key, bias, _ = _leaves(10, 1500)
    plain = gk.info_nce(query, key, None, 0.3, bias)
    assert torch.equal(gk.info_nce(query, key, None, 0.3, bias, key_id=torch.arange(1500).flip(0) - 700), plain)


@pytest.mark.parametrize("ids", [False, True])
def test_symmetric_is_the_mean_of_both_directions(ids):
    query, key, _, temperature = _leaves(600, 600)
    key_id = torch.randint(0, 300, (600,), generator=torch.Generator().manual_seed(8)) if ids else None
    both = gk.info_nce(query, key, None, temperature, key_id=key_id)
    both = (both + gk.info_nce(key, query, None, temperature, key_id=key_id)) / 2
    _same(gk.info_nce(query, key, None, temperature, key_id=key_id, symmetric=True), both, query, key, temperature)


def test_symmetric_bias_moves_only_the_queries_direction():
    query, key, bias, temperature = _leaves(50, 50)
    logits = query @ key.T / temperature + bias
    pairs = torch.arange(50)
    eager = F.cross_entropy(logits, pairs, reduction="none") + F.cross_entropy(logits.T, pairs, reduction="none")
    loss = gk.info_nce(query, key, None, temperature, bias, symmetric=True)
    _same(loss, eager / 2, query, key, bias, temperature)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_temperature_learns_in_every_dtype(dtype):
    query, key, _, temperature = _leaves()
    exact = torch.autograd.grad(gk.info_nce(query, key, None, temperature).sum(), temperature)[0]
    rounded = [t.detach().to(dtype).requires_grad_() for t in (query, key)]
    small = temperature.detach().float().requires_grad_()
    got = torch.autograd.grad(gk.info_nce(*rounded, None, small).sum(), small)[0]
    assert got.dtype == torch.float32
    assert float(got) == pytest.approx(float(exact), rel=1e-5 if dtype == torch.float32 else 2e-2)


@pytest.mark.parametrize("symmetric", [False, True])
def test_compiles_with_every_option(symmetric):
    query, key, bias, temperature = _leaves(30, 30)
    key_id = torch.arange(30) // 2

    def loss(query: Tensor, key: Tensor, bias: Tensor, temperature: Tensor) -> Tensor:
        return gk.info_nce(query, key, None, temperature, bias, key_id=key_id, symmetric=symmetric)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    leaves = (query, key, bias, temperature)
    _same(compiled(*leaves), loss(*leaves), *leaves)


def test_compiled_temperature_is_checked_by_the_kernel():
    if "cpu" in gk._native.absent:
        pytest.skip("the check is the kernel's, which is not built")
    compiled = torch.compile(gk.info_nce, fullgraph=True, backend="aot_eager")
    with pytest.raises(RuntimeError, match="temperature must be positive"):
        compiled(_normal(3, 2), _normal(3, 2), None, torch.tensor(-1.0))


def test_one_key_costs_nothing():
    query, key, _, _ = _leaves(6, 1)
    loss = gk.info_nce(query, key, torch.zeros(6, dtype=torch.long), 0.01)
    assert loss.tolist() == [0] * 6
    assert torch.autograd.grad(loss.sum(), query)[0].count_nonzero() == 0


def test_nan_in_a_query_stays_in_its_row():
    query, key, _, _ = _leaves(4, 2000)
    with torch.no_grad():
        query[2, 1] = math.nan
    loss = gk.info_nce(query, key)
    assert loss.isnan().tolist() == [False, False, True, False]
    grad = torch.autograd.grad(loss[:2].sum(), query)[0]
    assert grad[:2].isfinite().all()


def test_nan_in_a_key_is_in_every_loss():
    query, key, _, _ = _leaves(4, 2000)
    with torch.no_grad():
        key[1999, 0] = math.nan
    assert gk.info_nce(query, key).isnan().all()


@pytest.mark.parametrize("symmetric", [False, True])
def test_infinite_logits(symmetric):
    """inf where a negative's logit is inf, NaN where the positive's is: as logsumexp and a difference give it."""
    query, key = torch.eye(3), torch.tensor([[0.0, 0, 0], [3e38, 0, 0], [0, 0, 0]])
    logits = query @ key.T / 0.1
    assert logits[0, 1] == math.inf
    pairs = torch.arange(3)
    eager = logits.logsumexp(1) - logits[pairs, pairs]
    if symmetric:
        eager = (eager + logits.logsumexp(0) - logits[pairs, pairs]) / 2
    torch.testing.assert_close(gk.info_nce(query, key, None, 0.1, symmetric=symmetric), eager)
    positive = gk.info_nce(query, key, torch.tensor([1, 0, 0]))
    assert positive.isnan().tolist() == [True, False, False]


def test_bias_of_minus_infinity_leaves_a_key_out():
    query, key, _, temperature = _leaves(5, 40)
    bias = torch.zeros(40, dtype=torch.float64)
    bias[20:] = -math.inf
    ours = gk.info_nce(query, key, None, temperature, bias)
    _same(ours, gk.info_nce(query, key[:20], None, temperature), query, key, temperature)


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, torch.tensor(0.0), torch.tensor(math.nan)])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        gk.info_nce(_normal(2, 2), _normal(2, 2), temperature=temperature)


@pytest.mark.parametrize("symmetric", [False, True])
def test_memory_does_not_grow_with_the_matrix(symmetric):
    """8,192 x 8,192 logits are 256 MiB, the results 1."""
    leaves = [torch.randn(8192, 16).requires_grad_() for _ in range(2)]

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(gk.info_nce(*leaves, symmetric=symmetric).sum(), leaves)

    assert peak_extra_bytes(step, "cpu")[1] < 24 << 20
