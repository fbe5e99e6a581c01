"""rank_metrics beside its definitions written as loops, and beside ranx."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import graphkern as gk
from graphkern.ops.rank_metrics import METRICS

NUM_USERS, NUM_ITEMS = 60, 50
IN_RANX = {"hr": "hit_rate"}


def rows(items: list[list[int]], num_items: int, dtype=torch.int64) -> gk.CSR:
    sizes = torch.tensor([0, *map(len, items)], dtype=dtype)
    return gk.CSR(sizes.cumsum(0).to(dtype), torch.tensor([i for row in items for i in row], dtype=dtype), num_items)


def random_items(num_users: int, num_items: int, most: int, seed: int = 0) -> list[list[int]]:
    """0 to most - 1 items a user, in no order, none twice."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(num_items, generator=generator)[: user % most].tolist() for user in range(num_users)]


def random_lists(num_users: int, num_items: int, depth: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(num_items, generator=generator)[:depth] for _ in range(num_users)])


def shortened(topk: Tensor) -> Tensor:
    """User u's list ends after u % (K + 1) places."""
    length = torch.arange(topk.shape[0]) % (topk.shape[1] + 1)
    return topk.masked_fill(torch.arange(topk.shape[1]) >= length[:, None], -1)


def disturbed(topk: Tensor, num_items: int) -> Tensor:
    """With items again and places without one anywhere."""
    generator = torch.Generator().manual_seed(2)
    topk = torch.where(torch.rand(topk.shape, generator=generator) < 0.3, topk[:, :1], topk)
    return topk.masked_fill(torch.rand(topk.shape, generator=generator) < 0.2, -1)


def perfect(items: list[list[int]], num_items: int, depth: int) -> Tensor:
    """The test items first, then others."""
    lists = [row + [i for i in range(num_items) if i not in set(row)] for row in items]
    return torch.tensor([row[:depth] for row in lists])


def hopeless(items: list[list[int]], num_items: int, depth: int) -> Tensor:
    return torch.tensor([[i for i in range(num_items) if i not in set(row)][:depth] for row in items])


def _cases() -> dict[str, tuple[Tensor, list[list[int]], int, tuple[int, ...]]]:
    """name -> topk, each user's test items, number of items, ks."""
    items = random_items(NUM_USERS, NUM_ITEMS, 15)
    topk = random_lists(NUM_USERS, NUM_ITEMS, 20)
    many = random_items(6, 15_000, 6)[:3] + [torch.randperm(15_000)[:n].tolist() for n in (63, 64, 65, 10_000)]
    return {
        "random": (topk, items, NUM_ITEMS, (1, 5, 20)),
        "large": (random_lists(2000, 300, 50), random_items(2000, 300, 90), 300, (10, 20, 50)),
        "shorter": (shortened(topk), items, NUM_ITEMS, (3, 10, 20)),
        "empty": (torch.full_like(topk, -1), items, NUM_ITEMS, (1, 20)),
        "disturbed": (disturbed(topk, NUM_ITEMS), items, NUM_ITEMS, (1, 2, 7, 20)),
        "all-hits": (perfect(items, NUM_ITEMS, 12), items, NUM_ITEMS, (1, 12)),
        "no-hits": (hopeless(items, NUM_ITEMS, 12), items, NUM_ITEMS, (1, 12)),
        "one-place": (topk[:, :1], items, NUM_ITEMS, (1,)),
        "one-item": (torch.tensor([[0], [0], [-1]]), [[0], [], [0]], 1, (1,)),
        "one-user": (topk[29:30], items[29:30], NUM_ITEMS, (5,)),
        "many-test-items": (random_lists(7, 15_000, 1000), many, 15_000, (1, 63, 64, 65, 1000)),
        "everything": (random_lists(4, 70, 70), [list(range(70))[::-1]] * 4, 70, (1, 64, 70)),
    }


CASES = _cases()


def first_places(row: list[int]) -> list[int]:
    """-1 where an item was there before."""
    return [-1 if item in row[:place] else item for place, item in enumerate(row)]


def by_loops(topk: Tensor, items: list[list[int]], ks: tuple[int, ...]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {f"{name}@{k}": [] for k in ks for name in METRICS}
    for row, wanted in zip(topk.tolist(), map(set, items), strict=True):
        ranks = [rank for rank, item in enumerate(first_places(row), start=1) if item in wanted]
        for k in ks:
            hits = [rank for rank in ranks if rank <= k]
            best = range(1, min(k, len(wanted)) + 1)
            recall, precision = len(hits) / len(wanted) if wanted else math.nan, len(hits) / k
            now = {
                "recall": recall,
                "ndcg": sum(1 / math.log2(r + 1) for r in hits) / sum(1 / math.log2(r + 1) for r in best or [1]),
                "hr": float(bool(hits)),
                "mrr": 1 / hits[0] if hits else 0.0,
                "map": sum(found / rank for found, rank in enumerate(hits, start=1)) / max(len(wanted), 1),
                "f1": 2 * recall * precision / (recall + precision) if hits else 0.0,
                "precision": precision,
            }
            for name, value in now.items():
                values[f"{name}@{k}"].append(value if wanted else math.nan)
    return values


def mean(values: list[float]) -> float:
    present = [value for value in values if not math.isnan(value)]
    return sum(present) / len(present)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=["int32", "int64"])
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_loops(case, dtype):
    topk, items, num_items, ks = CASES[case]
    test, expected = rows(items, num_items, dtype), by_loops(topk, items, ks)
    means, each = gk.rank_metrics(topk, test, ks), gk.rank_metrics(topk, test, ks, per_user=True)
    assert list(means) == list(each) == list(expected)
    for name, values in expected.items():
        want = torch.tensor(values, dtype=torch.float64)
        torch.testing.assert_close(each[name], want, rtol=0, atol=1e-12, equal_nan=True)
        assert means[name] == pytest.approx(mean(values), abs=1e-12)


@pytest.mark.filterwarnings("ignore:unsafe cast from uint64 to int64")  # in ranx
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_ranx(case):
    """ranx gives a list without holes: places without an item, or with one again, get a document that nobody wants."""
    ranx = pytest.importorskip("ranx", reason="ranx is not installed: it is in the extra 'dev'")
    topk, items, num_items, ks = CASES[case]
    qrels, run = {}, {}
    for user, (row, wanted) in enumerate(zip(topk.tolist(), items, strict=True)):
        if not wanted:
            continue
        qrels[f"u{user}"] = {f"i{item}": 1 for item in wanted}
        documents = [f"i{item}" if item >= 0 else f"none{place}" for place, item in enumerate(first_places(row))]
        run[f"u{user}"] = {document: float(len(row) - place) for place, document in enumerate(documents)}
    names = {f"{name}@{k}": f"{IN_RANX.get(name, name)}@{k}" for k in ks for name in METRICS}
    expected = ranx.Qrels(qrels), ranx.Run(run)
    theirs = ranx.evaluate(*expected, list(names.values()))
    by_user = ranx.evaluate(*expected, list(names.values()), return_mean=False)
    test = rows(items, num_items)
    means, each = gk.rank_metrics(topk, test, ks), gk.rank_metrics(topk, test, ks, per_user=True)
    keys = sorted(qrels)  # ranx sorts users by name
    order = torch.tensor([int(key[1:]) for key in keys])
    for name, other in names.items():
        assert means[name] == pytest.approx(theirs[other], abs=1e-9)
        got = each[name][order]
        torch.testing.assert_close(got, torch.from_numpy(by_user[other]), rtol=0, atol=1e-9)
    assert all(bool(value.isnan().sum() == len(items) - len(qrels)) for value in each.values())


def test_perfect_lists_score_one():
    test = rows([[4, 2], [0], []], 5)
    topk = torch.tensor([[2, 4, -1], [0, 1, 2], [0, 1, 2]])
    result = gk.rank_metrics(topk, test, [3])
    assert all(result[f"{name}@3"] == 1 for name in ("recall", "ndcg", "hr", "mrr", "map"))
    assert result["precision@3"] == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_no_item_is_not_the_last_item_of_the_user_before():
    # -1 in row 1 must not be read as item 4 of row 0
    assert gk.rank_metrics(torch.tensor([[1], [-1]]), rows([[4], [0]], 5), [1])["hr@1"] == 0


@pytest.mark.parametrize("num_test", [5, 200])
def test_an_item_twice_in_a_list_counts_at_its_first_place(num_test):
    wanted = list(range(num_test))
    once = torch.tensor([[300, 3, 301, 1, -1, -1, 302]])
    again = torch.tensor([[300, 3, 301, 1, 3, 1, 302]])
    test = rows([wanted], 400)
    assert gk.rank_metrics(again, test, (3, 5, 7)) == gk.rank_metrics(once, test, (3, 5, 7))


@pytest.mark.parametrize("num_test", [5, 200])
def test_a_pair_twice_in_test_counts_once(num_test):
    topk, wanted = random_lists(1, 400, 50), list(range(num_test))[::-1]
    expected = gk.rank_metrics(topk, rows([wanted], 400), (10, 50))
    assert gk.rank_metrics(topk, rows([wanted + wanted[:3] + wanted], 400), (10, 50)) == expected
    assert gk.rank_metrics(topk, rows([sorted(wanted + wanted)], 400), (10, 50)) == expected


def test_ks_in_any_order_and_repeated():
    topk, items, num_items, _ = CASES["random"]
    test = rows(items, num_items)
    result = gk.rank_metrics(topk, test, [10, 3, 10])
    assert result == gk.rank_metrics(topk, test, (3, 10))
    assert next(iter(result)) == "recall@10"


def test_part_of_a_wider_tensor():
    topk, items, num_items, _ = CASES["random"]
    test = rows(items, num_items)
    expected = gk.rank_metrics(topk[:, :7].contiguous(), test, (7,))
    assert gk.rank_metrics(topk[:, :7], test, (7,)) == expected
    assert gk.rank_metrics(topk.T.contiguous().T[:, :7], test, (7,)) == expected
    assert gk.rank_metrics(topk, test, (7,)) == expected


def test_means_do_not_depend_on_the_number_of_threads():
    num_users = 20_000
    test = rows(random_items(num_users, 300, 9), 300)
    topk = random_lists(num_users, 300, 20)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(gk.rank_metrics(topk, test, (5, 20)))
    finally:
        torch.set_num_threads(threads)
    assert results[0] == results[1] == results[2]
    each = gk.rank_metrics(topk, test, (5, 20), per_user=True)
    assert results[0] == pytest.approx({name: float(value.nanmean()) for name, value in each.items()}, abs=1e-12)


def test_opcheck_of_means():
    topk, items, num_items, ks = CASES["random"]
    test = rows(items, num_items)
    torch.library.opcheck(torch.ops.graphkern.rank_metrics.default, (topk, test.indptr, test.indices, list(ks), False))


def test_what_cannot_be_measured_is_refused():
    topk, items, num_items, _ = CASES["random"]
    test = rows(items, num_items)
    with pytest.raises(ValueError, match=r"topk is \[59, 20\] but test has 60 rows"):
        gk.rank_metrics(topk[1:], test, [5])
    for ks in ([], [0], [21], [5, -1]):
        with pytest.raises(ValueError, match="but topk has 20 ranks"):
            gk.rank_metrics(topk, test, ks)
    for value in (-2, num_items):
        with pytest.raises(ValueError, match=r"topk must be -1 or in \[0, 50\) but runs from"):
            gk.rank_metrics(topk.index_fill(0, torch.tensor([59]), value), test, [5])
    with pytest.raises(TypeError, match=r"topk must be an int64 Tensor but is torch\.int32"):
        gk.rank_metrics(topk.int(), test, [5])
    with pytest.raises(TypeError, match="topk must be an int64 Tensor but is list"):
        gk.rank_metrics(topk.tolist(), test, [5])
    with pytest.raises(TypeError, match=r"adj must be a graphkern\.CSR"):
        gk.rank_metrics(topk, test.indices, [5])
    with pytest.raises(ValueError, match="topk is on meta but adj is on cpu"):
        gk.rank_metrics(topk.to("meta"), test, [5])
    with pytest.raises(ValueError, match="no user has test items"):
        gk.rank_metrics(topk, rows([[]] * NUM_USERS, num_items), [5])


@pytest.mark.skipif(gk._op.OPS["rank_metrics"].active("cpu") != "cpu", reason="checks of the kernel, which is not here")
def test_raw_calls_are_checked():
    call = torch.ops.graphkern.rank_metrics
    topk, items, num_items, _ = CASES["random"]
    test = rows(items, num_items)
    for ks in ([], [0, 5], [21], [5, 3]):
        with pytest.raises(RuntimeError, match="ks must"):
            call(topk, test.indptr, test.indices, ks, False)
    with pytest.raises(RuntimeError, match="topk must be"):
        call(topk.int(), test.indptr, test.indices, [5], False)
    with pytest.raises(RuntimeError, match="topk has 60 rows but test 59"):
        call(topk, test.indptr[:-1], test.indices, [5], False)
    with pytest.raises(RuntimeError, match="indptr must"):
        call(topk, test.indptr, test.indices[:-1], [5], False)
    with pytest.raises(RuntimeError, match="never decrease"):
        call(topk, test.indptr.flip(0), test.indices, [5], False)
    with pytest.raises(RuntimeError, match="same dtype"):
        call(topk, test.indptr, test.indices.int(), [5], False)
    call(topk, test.indptr, torch.full_like(test.indices, -1), [20], True)  # wrong values crash nothing
