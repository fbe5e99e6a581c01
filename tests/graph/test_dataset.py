"""load_dataset turns tables into interactions between numbered users and items, and loses no row silently."""

import pytest
import torch
from pydantic import ValidationError

from graphkern.graph import InteractionSource, NodeSource, load_dataset


def test_interactions_attributes_and_titles(config):
    data = load_dataset(config)
    assert data.user_ids == ["ann", "bob", "cat", "dan"]
    assert data.item_ids == ["i1", "i2", "i3", "i4", "i5"]
    assert data.items.title == ["First", "Second", "Third", "Fourth, the", "Fifth"]
    assert data.items.attributes == {
        "year": [("1990",), ("1991",), ("1990",), (), ("2000",)],
        "genres": [("Drama", "War"), ("Drama",), (), ("War", "Drama"), ("Comedy",)],
    }
    assert data.items.text == {"about": ["a war", "", "third of its kind", "", "never seen"]}
    assert data.users.attributes == {"age": [("30",), ("41",), ("30",), ()]}
    assert data.behavior_names == ["view", "buy"]
    assert data.bad_rows == []
    assert (data.num_users, data.num_items) == (4, 5)


def test_the_earliest_of_equal_interactions_is_kept(config):
    data = load_dataset(config)
    # ann viewed i1 at 10 and at 2, and bought it at 30
    assert data.user.tolist() == [0, 0, 1, 1, 0, 2, 0, 1]
    assert data.item.tolist() == [1, 0, 0, 2, 0, 3, 2, 1]
    assert data.time.tolist() == [20, 30, 5, 6, 2, 7, 40, 8]
    assert data.rating.tolist() == [3, 4, 2, 5, 1, 4, 4, 4]
    assert data.behavior.tolist() == [0, 1, 0, 0, 0, 1, 0, 1]
    assert (data.user.dtype, data.rating.dtype, data.time.dtype) == (torch.int64, torch.float32, torch.int64)


def test_without_node_tables_ids_come_in_order_of_appearance(config):
    source = InteractionSource(path=config.interactions.path, user="user", item="item")
    data = load_dataset(config.model_copy(update={"interactions": source, "items": None, "users": None}))
    assert data.user_ids == ["ann", "bob", "cat"]
    assert data.item_ids == ["i1", "i2", "i3", "i4"]
    assert (data.rating, data.time, data.behavior, data.behavior_names) == (None, None, None, [])
    assert (data.items.title, data.items.attributes) == (None, {})
    assert len(data.user) == 7


def test_min_rating_leaves_rows_out_before_repeats(config):
    source = config.interactions.model_copy(update={"min_rating": 4.0})
    data = load_dataset(config.model_copy(update={"interactions": source}))
    assert list(zip(data.user.tolist(), data.item.tolist(), data.rating.tolist(), strict=True)) == [
        (0, 0, 5),
        (0, 0, 4),
        (1, 2, 5),
        (2, 3, 4),
        (0, 2, 4),
        (1, 1, 4),
    ]
    assert data.bad_rows == []


BAD = [
    (",i1,1,1,view", "user is empty"),
    ("ann,,1,1,view", "item is empty"),
    ("ann,i1,1,1,", "behavior is empty"),
    ("zoe,i1,1,1,view", "user 'zoe' is not in the table of users"),
    ("ann,i9,1,1,view", "item 'i9' is not in the table of items"),
    ("ann,i1,good,1,view", "rating 'good' is not a finite number"),
    ("ann,i1,nan,1,view", "rating 'nan' is not a finite number"),
    ("ann,i1,,1,view", "rating '' is not a finite number"),
    ("ann,i1,1,noon,view", "time 'noon' is not a finite number"),
    ("ann,i1,1,inf,view", "time 'inf' is not a finite number"),
    ("ann,i1,1,9223372036854775808,view", "time '9223372036854775808' does not fit 64 bits"),
    ("ann,i1", "2 cells, but the header has 5"),
]


@pytest.mark.parametrize(("row", "reason"), BAD)
def test_bad_interactions(config, row, reason):
    path = config.interactions.path
    path.write_text(path.read_text() + row + "\ndan,i4,1,1.9,view\n")
    with pytest.raises(ValueError, match="1 bad rows") as error:
        load_dataset(config)
    assert f"{path}:11: {reason}" in str(error.value)

    data = load_dataset(config.model_copy(update={"on_bad_rows": "skip"}))
    assert [(row.file, row.line, row.reason) for row in data.bad_rows] == [(str(path), 11, reason)]
    assert (data.user[-1], data.item[-1], data.time[-1]) == (3, 3, 1)


def test_bad_nodes(config):
    path = config.items.path
    path.write_text(path.read_text() + "i1,Again,,,\n,Nobody,,,\ni6\n")
    data = load_dataset(config.model_copy(update={"on_bad_rows": "skip"}))
    assert [(row.line, row.reason) for row in data.bad_rows] == [
        (7, "id 'i1' is on line 2 too"),
        (8, "id is empty"),
        (9, "1 cells, but the header has 5"),
    ]
    assert data.num_items == 5


def test_empty_tables_make_an_empty_dataset(config):
    for source in (config.interactions, config.items, config.users):
        source.path.write_text(source.path.read_text().splitlines()[0])
    data = load_dataset(config)
    assert (data.num_users, data.num_items, data.user.shape, data.rating.shape) == (0, 0, (0,), (0,))
    assert data.items.attributes == {"year": [], "genres": []}


def test_unknown_columns_and_files_are_errors(config):
    source = config.interactions.model_copy(update={"rating": "score"})
    with pytest.raises(ValueError, match="no column score; it has user, item, stars"):
        load_dataset(config.model_copy(update={"interactions": source}))
    config.users.path.unlink()
    with pytest.raises(FileNotFoundError):
        load_dataset(config)


def test_unknown_ids_are_named(config):
    users = load_dataset(config).users
    assert users.index("cat") == 2
    with pytest.raises(KeyError, match="unknown id 'zoe'"):
        users.index("zoe")


@pytest.mark.parametrize(
    "make",
    [
        lambda: InteractionSource(path="x", user="u", item="i", min_rating=3),
        lambda: InteractionSource(path="x", user="u", item="i", colour="red"),
        lambda: InteractionSource(path="x", user="u", item="i", delimiter="::"),
        lambda: NodeSource(path="x", id="i", attributes=["a"], list_attributes={"a": "|"}),
        lambda: NodeSource(path="x", id="i", list_attributes={"a": ""}),
    ],
)
def test_contradictions_are_refused(make):
    with pytest.raises(ValidationError):
        make()
