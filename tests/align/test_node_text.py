"""Texts of nodes, word for word, and from train only."""

import torch

from graphkern.align import item_texts, user_texts
from graphkern.csr import CSR
from graphkern.graph import Dataset, Nodes

ITEMS = Nodes(
    ids=["a", "b", "c", "d"],
    title=["Alien", "Brazil", "Casablanca", ""],
    attributes={"year": [("1979",), ("1985",), ("1942",), ()], "genres": [("horror", "space"), ("satire",), (), ()]},
    text={"plot": ["In space no one can hear you scream", "", "", ""]},
)
USERS = Nodes(ids=["u", "v"], title=None, attributes={"age": [("24",), ()]}, text={})


def dataset(items: Nodes = ITEMS) -> Dataset:
    none = torch.empty(0, dtype=torch.int64)
    return Dataset("made", USERS, items, none, none, None, None, None, [], [])


def test_items():
    assert item_texts(ITEMS) == [
        "Alien. year: 1979. genres: horror, space. In space no one can hear you scream",
        "Brazil. year: 1985. genres: satire",
        "Casablanca. year: 1942",
        "",
    ]


def test_users():
    train = CSR(torch.tensor([0, 2, 2]), torch.tensor([1, 0]), 4)
    likes = "likes year: 1979, 1985. likes genres: horror, space, satire. likes: Alien, Brazil"
    assert user_texts(dataset(), train) == [f"age: 24. {likes}", ""]


def test_users_name_their_rarest_titles_and_most_frequent_values():
    train = CSR(torch.tensor([0, 3, 4]), torch.tensor([0, 1, 2, 0]), 4)
    text = user_texts(dataset(), train, num_titles=2, num_values=1)[0]
    assert text == "age: 24. likes year: 1979. likes genres: horror. likes: Brazil, Casablanca"


def test_nodes_without_titles():
    bare = Nodes(ids=["a"], title=None, attributes={}, text={})
    train = CSR(torch.tensor([0, 1, 1]), torch.tensor([0]), 1)
    assert item_texts(bare) == [""]
    assert user_texts(dataset(bare), train) == ["age: 24", ""]
