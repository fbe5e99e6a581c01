"""What topk_scores and merge_topk promise beyond the contract: order, exclusion, stored dtypes, inf and NaN, shards."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

import graphkern as gk
from graphkern import CSR


def _integers(*shape: int, high: int = 3, seed: int = 0) -> Tensor:
    return torch.randint(-high, high + 1, shape, generator=torch.Generator().manual_seed(seed)).float()


def _excluding(rows: list[list[int]], num_items: int) -> CSR:
    indptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    return CSR(indptr, torch.tensor([column for row in rows for column in row], dtype=torch.long), num_items)


def _expected(query: Tensor, item: Tensor, k: int, excluded: list[list[int]] | None = None, mask: Tensor | None = None):
    """By sorting in Python: the larger score first, of equal ones the lower index."""
    scores = (query.double() @ item.double().T).tolist()
    values, indices = [], []
    for row, of_items in enumerate(scores):
        gone = set(excluded[row]) if excluded else set()
        kept = [
            (-score, n)
            for n, score in enumerate(of_items)
            if n not in gone and (mask is None or mask[n]) and score > -math.inf
        ]
        best = sorted(kept)[:k] + [(math.inf, -1)] * max(0, k - len(kept))
        values.append([-score for score, _ in best])
        indices.append([n for _, n in best])
    return values, indices


def _is(result: tuple[Tensor, Tensor], expected: tuple[list, list]) -> None:
    assert result[1].tolist() == expected[1]
    assert result[0].double().tolist() == expected[0]


@pytest.mark.parametrize("k", [1, 7, 100, 1000, 2500])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_ties_go_to_the_lower_index(k, dtype):
    query, item = _integers(7, 3, high=1).to(dtype), _integers(2500, 3, high=1, seed=1).to(dtype)
    _is(gk.topk_scores(query, item, k), _expected(query, item, k))


def test_all_scores_equal():
    _, indices = gk.topk_scores(torch.zeros(5, 4), torch.randn(3000, 4), 40)
    assert indices.tolist() == [list(range(40))] * 5


@pytest.mark.parametrize("falling", [False, True])
def test_sorted_items(falling):
    """Where each item beats all before it, and where none does."""
    item = torch.arange(5000.0)[:, None]
    item = item.flip(0) if falling else item
    _is(gk.topk_scores(torch.ones(3, 1), item, 50), _expected(torch.ones(3, 1), item, 50))


def test_duplicate_items_are_all_listed():
    item = _integers(20, 4).repeat(30, 1)
    query = _integers(6, 4, seed=2)
    _is(gk.topk_scores(query, item, 90), _expected(query, item, 90))


@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_exclusion_in_any_order_and_more_than_once(index_dtype):
    generator = torch.Generator().manual_seed(3)
    excluded = [torch.randint(0, 2100, (number,), generator=generator).tolist() for number in (0, 1, 3000, 40, 700, 2)]
    excluded[3] = sorted(excluded[3])
    excluded[5] = [9, 9]
    query, item = _integers(6, 5), _integers(2100, 5, seed=1)
    exclude = _excluding(excluded, 2100).to(dtype=index_dtype)
    _is(gk.topk_scores(query, item, 60, exclude), _expected(query, item, 60, excluded))


def test_empty_exclusion_changes_nothing():
    query, item = torch.randn(4, 6), torch.randn(300, 6)
    plain = gk.topk_scores(query, item, 9)
    for got, want in zip(gk.topk_scores(query, item, 9, _excluding([[]] * 4, 300)), plain, strict=True):
        assert torch.equal(got, want)


def test_everything_excluded():
    values, indices = gk.topk_scores(torch.randn(2, 3), torch.randn(5, 3), 4, _excluding([[4, 2, 0, 1, 3], []], 5))
    assert indices[0].tolist() == [-1] * 4
    assert values[0].tolist() == [-math.inf] * 4
    assert indices[1].min() >= 0


def test_mask():
    query, item = _integers(5, 3), _integers(900, 3, seed=1)
    mask = torch.rand(900, generator=torch.Generator().manual_seed(4)) > 0.9
    excluded = [list(range(0, 900, step + 2)) for step in range(5)]
    got = gk.topk_scores(query, item, 70, _excluding(excluded, 900), item_mask=mask)
    _is(got, _expected(query, item, 70, excluded, mask))
    _, none = gk.topk_scores(query, item, 3, item_mask=torch.zeros(900, dtype=torch.bool))
    assert (none == -1).all()


def test_one_item():
    values, indices = gk.topk_scores(torch.tensor([[2.0], [-1.0]]), torch.tensor([[3.0]]), 1)
    assert (values.tolist(), indices.tolist()) == ([[6], [-3]], [[0], [0]])


def test_nan_and_inf():
    """NaN and -inf are never returned, inf is, by its index among equals."""
    item = torch.tensor([[1.0], [math.nan], [math.inf], [2.0], [-math.inf], [math.inf]])
    values, indices = gk.topk_scores(torch.tensor([[1.0], [-1.0], [math.nan], [0.0]]), item, 6)
    assert indices.tolist() == [[2, 5, 3, 0, -1, -1], [4, 0, 3, -1, -1, -1], [-1] * 6, [0, 3, -1, -1, -1, -1]]
    assert values[0].tolist() == [math.inf, math.inf, 2, 1, -math.inf, -math.inf]
    assert values[2].tolist() == [-math.inf] * 6


def test_nan_hides_no_other_item():
    query, item = _integers(4, 3), _integers(3000, 3, seed=1)
    item[::2] = math.nan
    _is(gk.topk_scores(query, item, 33), _expected(query, item, 33))


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.int8])
def test_items_of_a_narrower_dtype(stored):
    """The list is that of the widened items, to the bit."""
    query, item = torch.randn(9, 33), torch.randn(2100, 33)
    scale = item.abs().amax(1) / 127
    narrow = (item / scale[:, None]).round().to(stored)
    scale = torch.exp2(scale.log2().round())  # a product with a power of two is exact in any order
    exclude = _excluding([[1, 5, 2099]] * 9, 2100)
    got = gk.topk_scores(query, narrow, 20, exclude, item_scale=scale)
    want = gk.topk_scores(query, narrow.float() * scale[:, None], 20, exclude)
    assert all(torch.equal(one, other) for one, other in zip(got, want, strict=True))


def test_int8_finds_nearly_what_float32_finds():
    query, item = torch.randn(64, 64), torch.randn(2000, 64)
    scale = item.abs().amax(1) / 127
    _, exact = gk.topk_scores(query, item, 50)
    _, found = gk.topk_scores(query, (item / scale[:, None]).round().to(torch.int8), 50, item_scale=scale)
    shared = sum(len(set(a) & set(b)) for a, b in zip(exact.tolist(), found.tolist(), strict=True))
    assert shared > 0.95 * 64 * 50


def test_a_row_does_not_depend_on_its_batch():
    query, item = torch.randn(300, 33), torch.randn(5000, 33)
    values, indices = gk.topk_scores(query, item, 20)
    if "cpu" in gk._native.absent:
        pytest.skip("the reference's products are the platform's")
    for rows in (slice(0, 1), slice(37, 41), slice(100, 300)):
        one = gk.topk_scores(query[rows].clone(), item, 20)
        assert torch.equal(one[0], values[rows])
        assert torch.equal(one[1], indices[rows])


@pytest.mark.parametrize("k", [5, 100])
def test_merged_topk_of_shards_is_topk_of_all(k):
    query, item = _integers(11, 4), _integers(900, 4, seed=1)
    excluded = [torch.randint(0, 900, (300,), generator=torch.Generator().manual_seed(r)).tolist() for r in range(11)]
    bounds = [0, 40, 41, 500, 900]
    values, indices = [], []
    for first, last in itertools.pairwise(bounds):
        own = _excluding([[c - first for c in row if first <= c < last] for row in excluded], last - first)
        value, index = gk.topk_scores(query, item[first:last], min(k, last - first), own)
        values.append(value)
        indices.append(torch.where(index >= 0, index + first, -1))
    _is(gk.merge_topk(values, indices, k), _expected(query, item, k, excluded))


def test_merged_topk_fills_up_and_drops_nan():
    values = [torch.tensor([[3.0, -math.inf]]), torch.tensor([[math.nan, 4.0, 3.0]])]
    indices = [torch.tensor([[9, -1]]), torch.tensor([[0, 1, 2]])]
    got = gk.merge_topk(values, indices, 6)
    assert got[1].tolist() == [[1, 2, 9, -1, -1, -1]]
    assert got[0].tolist() == [[4, 3, 3, -math.inf, -math.inf, -math.inf]]


def test_merged_topk_of_shards_has_the_bits_of_topk_of_all():
    if "cpu" in gk._native.absent:
        pytest.skip("the reference's products are the platform's")
    query, item = torch.randn(70, 33), torch.randn(4001, 33)
    shards = [(first, gk.topk_scores(query, item[first : first + 700], 90)) for first in range(0, 4001, 700)]
    merged = gk.merge_topk([best[0] for _, best in shards], [best[1] + first for first, best in shards], 90)
    for got, want in zip(merged, gk.topk_scores(query, item, 90), strict=True):
        assert torch.equal(got, want)


def test_merged_topk_of_equal_entries():
    """Lists that say the same again and again take no longer than others, and each entry counts."""
    values, indices = torch.full((2, 20_000), 1.5), torch.full((2, 20_000), 7)
    got = gk.merge_topk([values, values], [indices, indices], 30_000)
    assert (got[0] == 1.5).all()
    assert (got[1] == 7).all()


LISTS, PLACES = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gk.topk_scores(LISTS, LISTS.char(), 1), ValueError, "int8 items need item_scale"),
        (lambda: gk.topk_scores(LISTS, LISTS.int(), 1), TypeError, "item must be float32.*int8 but is torch.int32"),
        (
            lambda: gk.topk_scores(LISTS, LISTS.double(), 1),
            TypeError,
            "item is torch.float64 but query is torch.float32",
        ),
        (
            lambda: gk.topk_scores(LISTS, LISTS, 1, item_mask=torch.ones(3).bool()),
            ValueError,
            r"item_mask must be \[2\]",
        ),
        (lambda: gk.topk_scores(LISTS, LISTS, 1, item_mask=torch.ones(2)), TypeError, "item_mask must be bool"),
        (lambda: gk.topk_scores(LISTS, LISTS, 1, item_scale=torch.ones(1)), ValueError, r"item_scale must be \[2\]"),
        (
            lambda: gk.topk_scores(LISTS, LISTS, 1, item_scale=torch.ones(2).int()),
            TypeError,
            "item_scale must be float32",
        ),
        (lambda: gk.merge_topk([], [], 1), ValueError, "at least one"),
        (lambda: gk.merge_topk([LISTS], [PLACES, PLACES], 1), ValueError, "but 1 and 2"),
        (lambda: gk.merge_topk([LISTS, LISTS[:1]], [PLACES, PLACES[:1]], 1), ValueError, r"must both be \[2, k\]"),
        (lambda: gk.merge_topk([LISTS], [PLACES[:, :2]], 1), ValueError, "must both be"),
        (lambda: gk.merge_topk([LISTS], [PLACES.int()], 1), TypeError, r"indices\[0\] must be an int64 Tensor"),
        (lambda: gk.merge_topk([LISTS, LISTS.double()], [PLACES, PLACES], 1), TypeError, "float64"),
        (lambda: gk.merge_topk([LISTS], [PLACES], 0), ValueError, "k must be at least 1"),
    ],
)
def test_topk_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda op: op.topk_scores(LISTS, LISTS, 3, None, None, None, None),
        lambda op: op.topk_scores(LISTS, LISTS[:, :2], 1, None, None, None, None),
        lambda op: op.topk_scores(LISTS, LISTS, 1, PLACES[0], None, None, None),
        lambda op: op.topk_scores(LISTS, LISTS, 1, torch.tensor([0, 4, 2]), PLACES[0], None, None),
        lambda op: op.topk_scores(LISTS, LISTS, 1, torch.tensor([0, 1]), PLACES[0], None, None),
        lambda op: op.topk_scores(LISTS, LISTS, 1, None, None, torch.ones(1).bool(), None),
        lambda op: op.topk_scores(LISTS, LISTS, 1, None, None, None, torch.ones(1)),
        lambda op: op.topk_scores(LISTS, LISTS, 1, None, None, None, torch.ones(2).double()),
        lambda op: op.topk_scores(LISTS, LISTS.int(), 1, None, None, None, None),
        lambda op: op.merge_topk([LISTS, LISTS], [PLACES], 1),
        lambda op: op.merge_topk([LISTS], [PLACES[:, :2]], 1),
        lambda op: op.merge_topk([LISTS], [PLACES.int()], 1),
        lambda op: op.merge_topk([LISTS, LISTS.half()], [PLACES, PLACES], 1),
        lambda op: op.merge_topk([LISTS], [PLACES], 0),
    ],
)
def test_raw_operators_refuse_what_would_lead_out_of_bounds(call):
    if "cpu" in gk._native.absent:
        pytest.skip("the references leave it to torch")
    with pytest.raises(RuntimeError):
        call(torch.ops.graphkern)
