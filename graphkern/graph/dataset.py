"""A recommendation dataset: interactions between users and items, and what is known of each user and item."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from graphkern.graph.tables import BadRow, Table, read_table, report_bad_rows


class InteractionSource(BaseModel):
    """A table of interactions and the names of its columns; rows whose rating is under min_rating are left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    user: str
    item: str
    rating: str | None = None
    time: str | None = None
    behavior: str | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    min_rating: float | None = None

    @model_validator(mode="after")
    def _min_rating_needs_rating(self) -> Self:
        if self.min_rating is not None and self.rating is None:
            raise ValueError("min_rating needs the name of the rating column")
        return self


class NodeSource(BaseModel):
    """A table with one row a user or item, and the names of its columns.

    attributes have one value a row, list_attributes several, separated by the string given; text is free text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    id: str
    title: str | None = None
    attributes: list[str] = []
    list_attributes: dict[str, str] = {}
    text: list[str] = []
    delimiter: str = Field(",", min_length=1, max_length=1)

    @model_validator(mode="after")
    def _attributes_once(self) -> Self:
        twice = set(self.attributes) & set(self.list_attributes)
        if twice:
            raise ValueError(f"both in attributes and in list_attributes: {', '.join(sorted(twice))}")
        if "" in self.list_attributes.values():
            raise ValueError("a separator in list_attributes is empty")
        return self


class DataConfig(BaseModel):
    """Where a dataset's tables are. on_bad_rows: raise an error, or leave the rows out, listed in Dataset.bad_rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    interactions: InteractionSource
    items: NodeSource | None = None
    users: NodeSource | None = None
    on_bad_rows: Literal["raise", "skip"] = "raise"


@dataclass(frozen=True)
class Nodes:
    """The users or the items of a dataset; every list has one entry a node, in the order of ids.

    attributes[name][i] holds node i's values, none if unknown; text[name][i] is a string, empty if unknown.
    """

    ids: list[str]
    title: list[str] | None
    attributes: dict[str, list[tuple[str, ...]]]
    text: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.ids)

    def index(self, node_id: str) -> int:
        """The position of node_id. Raises KeyError, with the id, if there is none."""
        try:
            return self.ids.index(node_id)
        except ValueError:
            raise KeyError(f"unknown id {node_id!r}; there are {len(self.ids)}") from None


@dataclass(frozen=True)
class Dataset:
    """E interactions in file order. user and item index users.ids and items.ids; behavior indexes behavior_names.

    Shapes: user, item, time, behavior int64 [E]; rating float32 [E].
    """

    name: str
    users: Nodes
    items: Nodes
    user: Tensor
    item: Tensor
    rating: Tensor | None
    time: Tensor | None
    behavior: Tensor | None
    behavior_names: list[str]
    bad_rows: list[BadRow]

    @property
    def user_ids(self) -> list[str]:
        return self.users.ids

    @property
    def item_ids(self) -> list[str]:
        return self.items.ids

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_items(self) -> int:
        return len(self.items)


def load_dataset(config: DataConfig) -> Dataset:
    """Read the tables that config names.

    A node table, where given, is the complete list of its nodes, in its order: an interaction with an id that is not in
    it is a bad row, and a node without interactions stays. Without the table, nodes come in order of first interaction.
    Of equal (user, item, behavior) the earliest is kept: the smallest time, or the first in the file.

    Raises: ValueError if on_bad_rows is "raise" and there are bad rows (the first ten listed); what read_table raises.
    """
    bad: list[BadRow] = []
    users = None if config.users is None else _read_nodes(config.users, bad)
    items = None if config.items is None else _read_nodes(config.items, bad)
    source = config.interactions
    names = [name for name in (source.user, source.item, source.rating, source.time, source.behavior) if name]
    table, unreadable = read_table(source.path, names, source.delimiter)
    events, invalid = _parse_events(table, config, users, items)
    bad += sorted(unreadable + invalid, key=lambda row: row.line)
    if bad and config.on_bad_rows == "raise":
        raise ValueError(report_bad_rows(bad))
    events = _drop_repeats(events)

    if users is None:
        users = Nodes(_in_order(event.user for event in events), None, {}, {})
    if items is None:
        items = Nodes(_in_order(event.item for event in events), None, {}, {})
    behavior_names = _in_order(event.behavior for event in events) if source.behavior else []
    return Dataset(
        name=config.name,
        users=users,
        items=items,
        user=_codes((event.user for event in events), users.ids),
        item=_codes((event.item for event in events), items.ids),
        rating=torch.tensor([event.rating for event in events], dtype=torch.float32) if source.rating else None,
        time=torch.tensor([event.time for event in events], dtype=torch.int64) if source.time else None,
        behavior=_codes((event.behavior for event in events), behavior_names) if source.behavior else None,
        behavior_names=behavior_names,
        bad_rows=bad,
    )


class _Event(NamedTuple):
    user: str
    item: str
    behavior: str
    rating: float
    time: int


def _parse_events(
    table: Table, config: DataConfig, users: Nodes | None, items: Nodes | None
) -> tuple[list[_Event], list[BadRow]]:
    source, empty = config.interactions, [""] * len(table)
    cells = zip(
        table.columns[source.user],
        table.columns[source.item],
        table.columns[source.behavior] if source.behavior else empty,
        table.columns[source.rating] if source.rating else empty,
        table.columns[source.time] if source.time else empty,
        strict=True,
    )
    known_users = None if users is None else frozenset(users.ids)
    known_items = None if items is None else frozenset(items.ids)
    events, bad = [], []
    for line, (user, item, behavior, rating, time) in zip(table.lines, cells, strict=True):
        try:
            event = _Event(
                _known_id(user, "user", known_users),
                _known_id(item, "item", known_items),
                _filled(behavior, "behavior") if source.behavior else "",
                _number(rating, "rating") if source.rating else 0.0,
                _whole_number(time, "time") if source.time else 0,
            )
        except ValueError as error:
            bad.append(BadRow(str(table.path), line, str(error)))
            continue
        if source.min_rating is None or event.rating >= source.min_rating:
            events.append(event)
    return events, bad


def _drop_repeats(events: list[_Event]) -> list[_Event]:
    first: dict[tuple[str, str, str], int] = {}
    for position in sorted(range(len(events)), key=lambda position: events[position].time):
        first.setdefault(events[position][:3], position)
    return [events[position] for position in sorted(first.values())]


def _read_nodes(source: NodeSource, bad: list[BadRow]) -> Nodes:
    names = [source.id, *source.attributes, *source.list_attributes, *source.text]
    if source.title:
        names.append(source.title)
    table, unreadable = read_table(source.path, names, source.delimiter)
    seen: dict[str, int] = {}
    invalid, rows = [], []
    for row, (node_id, line) in enumerate(zip(table.columns[source.id], table.lines, strict=True)):
        if not node_id or node_id in seen:
            reason = f"{source.id} {node_id!r} is on line {seen[node_id]} too" if node_id else f"{source.id} is empty"
            invalid.append(BadRow(str(source.path), line, reason))
        else:
            seen[node_id] = line
            rows.append(row)
    bad += sorted(unreadable + invalid, key=lambda row: row.line)

    def column(name: str) -> list[str]:
        return [table.columns[name][row] for row in rows]

    separators = dict.fromkeys(source.attributes) | source.list_attributes
    return Nodes(
        ids=column(source.id),
        title=column(source.title) if source.title else None,
        attributes={name: [_values(cell, by) for cell in column(name)] for name, by in separators.items()},
        text={name: column(name) for name in source.text},
    )


def _values(cell: str, separator: str | None) -> tuple[str, ...]:
    """The distinct values of a cell, in order; without a separator the whole cell is one."""
    parts = [cell] if separator is None else cell.split(separator)
    return tuple(dict.fromkeys(value for part in parts if (value := part.strip())))


def _in_order(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _codes(values: Iterable[str], names: list[str]) -> Tensor:
    code = {name: position for position, name in enumerate(names)}
    return torch.tensor([code[value] for value in values], dtype=torch.int64)


def _filled(cell: str, name: str) -> str:
    if not cell:
        raise ValueError(f"{name} is empty")
    return cell


def _known_id(cell: str, name: str, known: frozenset[str] | None) -> str:
    if known is not None and cell and cell not in known:
        raise ValueError(f"{name} {cell!r} is not in the table of {name}s")
    return _filled(cell, name)


def _number(cell: str, name: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} {cell!r} is not a finite number")
    return value


def _whole_number(cell: str, name: str) -> int:
    """A fraction is cut off: 881250949.7 is 881250949."""
    value = int(cell) if cell.removeprefix("-").isdecimal() else int(_number(cell, name))
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name} {cell!r} does not fit 64 bits")
    return value
