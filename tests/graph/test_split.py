"""make_split parts the pairs without leaking: by user, in time, with some items hidden."""

import dataclasses

import pytest
import torch
from pydantic import ValidationError

from graphkern.graph import Nodes, SplitConfig, load_dataset, make_split, predefined_split
from graphkern.graph.dataset import Dataset
from graphkern.graph.pairs import pair_keys, sorted_csr, take_rows, to_dense

PARTS = ("train", "valid", "test", "cold_test")


def made_dataset(num_users: int = 40, num_items: int = 30, num_pairs: int = 600) -> Dataset:
    step = torch.arange(num_pairs)  # no generator: the pinned fingerprint below must not hang on torch's version
    return Dataset(
        name="made",
        users=Nodes([f"u{i}" for i in range(num_users)], None, {}, {}),
        items=Nodes([f"i{i}" for i in range(num_items)], None, {}, {}),
        user=step * 7 % num_users,
        item=step * step // 7 % num_items,
        rating=None,
        time=step * 31 % 50,
        behavior=None,
        behavior_names=[],
        bad_rows=[],
    )


def pairs(adj):
    return list(zip(adj.row_index().tolist(), adj.indices.tolist(), strict=True))


def test_sorted_csr_is_the_set_of_pairs():
    row, col = torch.tensor([2, 0, 2, 2]), torch.tensor([1, 3, 0, 1])
    adj = sorted_csr(row, col, 4, 5)
    assert pairs(adj) == [(0, 3), (2, 0), (2, 1)]
    assert (adj.num_rows, adj.num_cols) == (4, 5)
    assert pair_keys(adj).tolist() == [3, 10, 11]
    assert pairs(take_rows(adj, torch.tensor([2, 1, 2]))) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert to_dense(adj).tolist() == [[0, 0, 0, 1, 0], [0] * 5, [1, 1, 0, 0, 0], [0] * 5]
    none = torch.empty(0, dtype=torch.int64)
    assert sorted_csr(none, none, 3, 0).num_edges == 0
    assert take_rows(adj, none).num_rows == 0


@pytest.mark.parametrize("strategy", ["time", "random"])
def test_parts_are_disjoint_and_warm_is_apart_from_cold(strategy):
    data = made_dataset()
    split = make_split(data, SplitConfig(strategy=strategy, seed=3))
    sets = [set(pairs(getattr(split, part))) for part in PARTS]
    everything = set(zip(data.user.tolist(), data.item.tolist(), strict=True))
    assert sum(map(len, sets)) == len(set.union(*sets))
    assert set.union(*sets) == everything  # every user of this dataset has train pairs

    cold = set(split.cold_items.tolist())
    assert len(cold) >= 3
    assert {item for _, item in sets[3]} == cold
    warm = set(split.warm_items().tolist())
    assert {item for _, item in sets[0]} == warm
    assert {item for part in sets[1:3] for _, item in part} <= warm
    assert not warm & cold
    assert set(pairs(split.seen())) == sets[0] | sets[1]


def test_time_split_keeps_the_latest_of_each_user_for_the_test():
    data = made_dataset()
    split = make_split(data, SplitConfig(valid=0.2, test=0.3, cold_items=0))
    first_time = {}
    for user, item, time in zip(data.user.tolist(), data.item.tolist(), data.time.tolist(), strict=True):
        first_time[user, item] = min(time, first_time.get((user, item), time))
    for user in range(data.num_users):
        times = [[first_time[pair] for pair in pairs(getattr(split, part)) if pair[0] == user] for part in PARTS[:3]]
        for earlier, later in ((0, 1), (0, 2), (1, 2)):
            assert max(times[earlier], default=-1) <= min(times[later], default=99)


@pytest.mark.parametrize("strategy", ["time", "random"])
def test_shares_round_and_leave_one_to_train(strategy):
    # user u has u + 1 items; nobody's items are rare enough to turn cold but the last ones
    user = torch.repeat_interleave(torch.arange(12), torch.arange(1, 13))
    item = torch.cat([torch.arange(count) for count in range(1, 13)])
    data = dataclasses.replace(made_dataset(12, 12), user=user, item=item, time=-item)
    split = make_split(data, SplitConfig(strategy=strategy, valid=0.3, test=0.6, cold_items=0))
    held_out = split.valid.degree() + split.test.degree() + split.cold_test.degree()
    for count in range(1, 13):
        num_test = min(int(0.6 * count + 0.5), count - 1)
        num_valid = min(int(0.3 * count + 0.5), count - 1 - num_test)
        assert held_out[count - 1] == num_test + num_valid
        assert split.train.degree()[count - 1] == count - num_test - num_valid >= 1


def test_a_pair_counts_once_at_its_earliest_time(config):
    split = make_split(load_dataset(config), SplitConfig(valid=0, test=0.4, cold_items=0))
    # ann: i1 at 2 (and 30), i2 at 20, i3 at 40; bob: i1, i3, i2; cat: one item, which stays in train
    assert pairs(split.train) == [(0, 0), (0, 1), (1, 0), (1, 2), (2, 3)]
    assert pairs(split.test) == [(0, 2), (1, 1)]


def test_items_that_train_never_shows_are_cold():
    data = dataclasses.replace(
        made_dataset(2, 3), user=torch.tensor([0, 0, 1]), item=torch.tensor([0, 1, 0]), time=torch.tensor([1, 2, 3])
    )
    split = make_split(data, SplitConfig(valid=0, test=0.5, cold_items=0))
    assert (pairs(split.train), pairs(split.test), pairs(split.cold_test)) == ([(0, 0), (1, 0)], [], [(0, 1)])
    assert split.cold_items.tolist() == [1]


def test_users_with_cold_items_only_are_left_out():
    data = made_dataset()
    loner = dataclasses.replace(
        data,
        user=torch.cat([data.user, torch.tensor([40])]),
        item=torch.cat([data.item, make_split(data, SplitConfig()).cold_items[:1]]),
        time=torch.cat([data.time, torch.tensor([0])]),
        users=Nodes([f"u{i}" for i in range(41)], None, {}, {}),
    )
    split = make_split(loner, SplitConfig())
    assert [int(getattr(split, part).degree()[40]) for part in PARTS] == [0, 0, 0, 0]


def test_equal_inputs_give_equal_splits_and_seeds_differ():
    data, config = made_dataset(), SplitConfig(strategy="random", seed=1)
    fingerprint = make_split(data, config).fingerprint()
    assert make_split(data, config).fingerprint() == fingerprint
    assert make_split(data, config.model_copy(update={"seed": 2})).fingerprint() != fingerprint
    # fixed once from this code: another value means that old runs cannot be compared with new ones
    assert fingerprint == "b537ba1bd993f252bfcb8f48dc6821e8e9bf5a7fab4bfa3e9eb399185d4d7989"


def test_predefined_split_has_no_cold_items():
    adj = sorted_csr(torch.tensor([0, 1]), torch.tensor([1, 2]), 2, 3)
    split = predefined_split(adj, adj)
    assert (split.valid.num_edges, split.cold_test.num_edges, len(split.cold_items)) == (0, 0, 0)
    assert (split.num_users, split.num_items, split.warm_items().tolist()) == (2, 3, [1, 2])


def test_what_cannot_be_split_is_refused():
    data = made_dataset()
    none = torch.empty(0, dtype=torch.int64)
    with pytest.raises(ValueError, match="no interactions"):
        make_split(dataclasses.replace(data, user=none, item=none, time=none), SplitConfig())
    with pytest.raises(ValueError, match="no times"):
        make_split(dataclasses.replace(data, time=None), SplitConfig())
    make_split(dataclasses.replace(data, time=None), SplitConfig(strategy="random"))
    for bad in ({"valid": 0.5, "test": 0.5}, {"cold_items": 1}, {"test": -0.1}, {"by": "time"}):
        with pytest.raises(ValidationError):
            SplitConfig(**bad)
