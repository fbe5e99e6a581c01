"""Graphs from a dataset, with train interactions only."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from graphkern.csr import CSR
from graphkern.graph.dataset import Dataset, Nodes
from graphkern.graph.pairs import pair_keys, sorted_csr, take_rows
from graphkern.graph.split import Split

EdgeType = tuple[str, str, str]  # source node type, relation, destination node type

_ITEMS_A_BLOCK = 256  # bounds the memory of item_neighbors


@dataclass(frozen=True)
class HeteroGraph:
    """Nodes and edges of several types.

    Args:
        num_nodes: node type -> count.
        adjs: edge type -> CSR of destinations x sources.
        weights: edge type -> [E] float32 in CSR order, for the types that have weights.
        names: node type -> one name a node, for the types that have names.
    Raises: ValueError if an adjacency, weight or list of names does not fit the counts.
    """

    num_nodes: dict[str, int]
    adjs: dict[EdgeType, CSR]
    weights: dict[EdgeType, Tensor] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for edge_type, adj in self.adjs.items():
            source, _, destination = edge_type
            expected = (self.num_nodes.get(destination), self.num_nodes.get(source))
            if (adj.num_rows, adj.num_cols) != expected:
                raise ValueError(f"{edge_type} is {adj.num_rows} x {adj.num_cols}, but the nodes make it {expected}")
        for edge_type, weight in self.weights.items():
            if edge_type not in self.adjs or weight.shape != self.adjs[edge_type].indices.shape:
                raise ValueError(f"the weight of {edge_type} is {list(weight.shape)} and does not fit its edges")
        for node_type, names in self.names.items():
            if self.num_nodes.get(node_type) != len(names):
                raise ValueError(f"{len(names)} names for {self.num_nodes.get(node_type)} nodes of type {node_type}")


def profile_graph(dataset: Dataset, split: Split) -> HeteroGraph:
    """Users with what they did in train and what is known of them.

    Node types: "user", "item", and "user.NAME" for each user attribute, one node a value. Edge types, each with its
    reverse: ("user", behavior, "item") and ("item", "rev_" + behavior, "user"), where a dataset without behaviors has
    the one behavior "interacts"; ("user", "has", "user.NAME") and ("user.NAME", "describes", "user").
    """
    num_nodes = {"user": dataset.num_users, "item": dataset.num_items}
    names = {"user": dataset.user_ids, "item": dataset.item_ids}
    adjs: dict[EdgeType, CSR] = {}
    is_train = train_interactions(dataset, split)
    for code, behavior in enumerate(dataset.behavior_names or ["interacts"]):
        chosen = is_train if dataset.behavior is None else is_train & (dataset.behavior == code)
        adj = sorted_csr(dataset.item[chosen], dataset.user[chosen], dataset.num_items, dataset.num_users)
        adjs["user", behavior, "item"] = adj
        adjs["item", f"rev_{behavior}", "user"] = adj.t()
    _add_attributes("user", dataset.users, num_nodes, adjs, names)
    return HeteroGraph(num_nodes, adjs, names=names)


def product_graph(dataset: Dataset, split: Split, num_neighbors: int = 20) -> HeteroGraph:
    """Items with what is known of them and which items share their users in train.

    Node types: "item", and "item.NAME" for each item attribute, one node a value. Edge types: ("item", "co_occurs",
    "item") from item_neighbors, weighted; ("item", "has", "item.NAME") and ("item.NAME", "describes", "item").
    """
    num_nodes, names = {"item": dataset.num_items}, {"item": dataset.item_ids}
    edge_type: EdgeType = ("item", "co_occurs", "item")
    adj, weight = item_neighbors(split.train, num_neighbors)
    adjs = {edge_type: adj}
    _add_attributes("item", dataset.items, num_nodes, adjs, names)
    return HeteroGraph(num_nodes, adjs, weights={edge_type: weight}, names=names)


def bipartite(train: CSR) -> CSR:
    """The symmetric graph over U users and then I items that LightGCN works on.

    Args:
        train: U x I.
    Returns: (U + I) x (U + I), 2 E edges.
    """
    num_users, transpose = train.num_rows, train.t()
    return CSR(
        torch.cat([train.indptr, train.num_edges + transpose.indptr[1:]]),
        torch.cat([num_users + train.indices, transpose.indices]),
        num_users + train.num_cols,
        validate=False,
    )


def train_interactions(dataset: Dataset, split: Split) -> Tensor:
    """Which of a dataset's interactions are in split.train, whatever their behavior: bool [E]."""
    return torch.isin(dataset.user * dataset.num_items + dataset.item, pair_keys(split.train))


def attribute_matrix(values: list[tuple[str, ...]]) -> tuple[CSR, list[str]]:
    """N nodes' attribute values as N x M, with the names of the M values in alphabetical order."""
    names = sorted({value for row in values for value in row})
    code = {name: position for position, name in enumerate(names)}
    row = torch.repeat_interleave(torch.tensor([len(row) for row in values], dtype=torch.int64))
    col = torch.tensor([code[value] for row in values for value in row], dtype=torch.int64)
    return sorted_csr(row, col, len(values), len(names)), names


def item_neighbors(train: CSR, num_neighbors: int) -> tuple[CSR, Tensor]:
    """Each item's nearest others by cosine: users in common / sqrt(users of one * users of the other).

    Args:
        train: U x I.
        num_neighbors: how many are kept at most; of equal cosines the lower item.
    Returns: I x I with ascending columns, and the cosines float32 [E].
    Cost: reads sum over users of (items a user has)^2 indices; memory for a block of items at a time.
    """
    num_items, by_item = train.num_cols, train.t()
    num_users_of = by_item.degree()
    blocks = [
        _block_neighbors(train, by_item, first, min(first + _ITEMS_A_BLOCK, num_items), num_neighbors)
        for first in range(0, num_items, _ITEMS_A_BLOCK)
    ]
    item, other, common = torch.cat(blocks, dim=1) if blocks else torch.empty(3, 0, dtype=torch.int64)
    adj = sorted_csr(item, other, num_items, num_items)
    order = torch.argsort(item * num_items + other)
    return adj, _cosine(common, num_users_of[item], num_users_of[other])[order].float()


def _block_neighbors(train: CSR, by_item: CSR, first: int, last: int, num_neighbors: int) -> Tensor:
    """The neighbors of items first..last-1, as [3, E] item, other item, users in common."""
    num_items, degree = train.num_cols, by_item.degree()
    users = take_rows(by_item, torch.arange(first, last))
    paths = take_rows(train, users.indices)
    row = users.row_index()[paths.row_index()]
    common = torch.bincount(row * num_items + paths.indices, minlength=(last - first) * num_items)
    common = common.view(last - first, num_items)
    common[torch.arange(last - first), torch.arange(first, last)] = 0
    row, other = torch.nonzero(common, as_tuple=True)
    item, common = first + row, common[row, other]

    order = torch.argsort(_cosine(common, degree[item], degree[other]), descending=True, stable=True)
    order = order[torch.argsort(row[order], stable=True)]
    size = torch.bincount(row, minlength=last - first)
    rank = torch.arange(len(row)) - torch.repeat_interleave(size.cumsum(0) - size, size)
    best = order[rank < num_neighbors]
    return torch.stack([item[best], other[best], common[best]])


def _cosine(common: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return common / torch.sqrt((one * other).double())


def _add_attributes(
    node_type: str, nodes: Nodes, num_nodes: dict[str, int], adjs: dict[EdgeType, CSR], names: dict[str, list[str]]
) -> None:
    """Add one node type for each attribute of nodes, with its edges, to the parts of a HeteroGraph."""
    for name, values in nodes.attributes.items():
        value_type = f"{node_type}.{name}"
        adj, names[value_type] = attribute_matrix(values)
        num_nodes[value_type] = adj.num_cols
        adjs[value_type, "describes", node_type] = adj
        adjs[node_type, "has", value_type] = adj.t()
