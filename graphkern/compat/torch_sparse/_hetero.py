"""Sampling from several relations between nodes of several types, over graphkern's ops.

A relation is named "source__relation__destination"; colptr [N + 1] and row [E] hold the sources of each destination.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern import ops
from graphkern._kept import kept_with
from graphkern.compat._graph import fanouts, random_seed, width
from graphkern.compat.torch_sparse._sampling import edges_between, edges_of, positions
from graphkern.compat.torch_sparse.utils import scatter
from graphkern.csr import CSR, check_range

EdgeType = tuple[str, str, str]
Tensors = dict[str, Tensor]
MAX_NEIGHBORS = 50  # of a node that hgt_sample looks at

Sample = tuple[Tensors, Tensors, Tensors, Tensors]


def hetero_neighbor_sample(
    node_types: list[str],
    edge_types: list[EdgeType],
    colptr_dict: Tensors,
    row_dict: Tensors,
    input_node_dict: Tensors,
    num_neighbors_dict: dict[str, list[int]],
    num_hops: int,
    replace: bool,
    directed: bool,
) -> Sample:
    """neighbor_sample over several relations, which draw one after the other, by name, in each hop.

    Args:
        input_node_dict: by type, nodes to start from.
        num_neighbors_dict: by relation, for each hop; relations that it leaves out are not sampled.
        directed: give the edges sampled; else all edges between the nodes sampled.
    Returns: by type the nodes; by relation for each edge the local source, the local destination and its position.
    """
    return _sample(
        node_types, edge_types, colptr_dict, row_dict, input_node_dict, num_neighbors_dict, None, num_hops, replace,
        directed,
    )  # fmt: skip


def hetero_temporal_neighbor_sample(
    node_types: list[str],
    edge_types: list[EdgeType],
    colptr_dict: Tensors,
    row_dict: Tensors,
    input_node_dict: Tensors,
    num_neighbors_dict: dict[str, list[int]],
    node_time_dict: Tensors,
    num_hops: int,
    replace: bool,
    directed: bool,
) -> Sample:
    """As hetero_neighbor_sample, with a tree of its own for each input node that holds no node later than it.

    node_time_dict: by type [N] int64, not negative; nodes of other types are always early enough.
    """
    if not directed:
        raise ValueError("temporal samples are directed")
    return _sample(
        node_types, edge_types, colptr_dict, row_dict, input_node_dict, num_neighbors_dict, node_time_dict, num_hops,
        replace, directed,
    )  # fmt: skip


def _sample(
    node_types,
    edge_types,
    colptr_dict,
    row_dict,
    input_node_dict,
    num_neighbors_dict,
    time,
    num_hops,
    replace,
    directed,
) -> Sample:
    types = {"__".join(kind): tuple(kind) for kind in edge_types}
    for given, known, what in (
        (colptr_dict, types, "edge_types"), (num_neighbors_dict, colptr_dict, "colptr_dict"),
        (colptr_dict, row_dict, "row_dict"), (input_node_dict, node_types, "node_types"),
    ):  # fmt: skip
        missing = [name for name in given if name not in known]
        if missing:
            raise ValueError(f"{what} lacks {missing[0]!r}")
    nothing = torch.empty(0, dtype=torch.long)
    nodes = {kind: input_node_dict.get(kind, nothing) for kind in node_types}
    found = {kind: dict.fromkeys(colptr_dict, nothing) for kind in ("row", "col", "edge")}
    names = sorted(num_neighbors_dict)
    if names and num_hops > 0:
        sizes = _sizes({types[name]: (colptr_dict[name], row_dict[name]) for name in names})
        adjs = {types[name]: _graph(colptr_dict[name], row_dict[name], types[name], sizes) for name in names}
        numbers = {types[name]: _fanouts(name, num_neighbors_dict[name], num_hops) for name in names}
        seeds = {kind: given for kind, given in input_node_dict.items() if kind in sizes}
        if time is not None:
            time = {kind: time.get(kind, torch.zeros(size, dtype=torch.long)) for kind, size in sizes.items()}
        sample = ops.sample_neighbors_hetero(
            adjs, seeds, numbers, replace=replace, node_time=time, disjoint=time is not None, seed=random_seed()
        )
        nodes |= sample.nodes
        for name in names:
            adj = sample.adjs[types[name]]
            found["row"][name], found["col"][name] = adj.indices, adj.row_index()
            found["edge"][name] = sample.edge_id[types[name]]
    if not directed:
        for name, colptr in colptr_dict.items():
            source, _, destination = types[name]
            part = edges_between(colptr, row_dict[name], nodes[destination], nodes[source])
            found["row"][name], found["col"][name], found["edge"][name] = part
    return nodes, found["row"], found["col"], found["edge"]


def _fanouts(name: str, numbers: list[int], num_hops: int) -> list[int]:
    if len(numbers) < num_hops:
        raise ValueError(f"num_neighbors_dict[{name!r}] has {len(numbers)} numbers for {num_hops} hops")
    return fanouts(numbers[:num_hops])


def _sizes(relations: dict[EdgeType, tuple[Tensor, Tensor]]) -> dict[str, int]:
    """The number of nodes of each type, by the relations that it takes part in."""
    sizes: dict[str, int] = {}
    for (source, _, destination), (colptr, row) in relations.items():
        sizes[destination] = max(sizes.get(destination, 0), colptr.shape[0] - 1)
        sizes[source] = max(sizes.get(source, 0), width(row))
    return sizes


def _graph(colptr: Tensor, row: Tensor, kind: EdgeType, sizes: dict[str, int]) -> CSR:
    num_sources, num_destinations = sizes[kind[0]], sizes[kind[2]]

    def build() -> CSR:
        padding = colptr.new_full((num_destinations + 1 - colptr.shape[0],), row.shape[0])
        return CSR(torch.cat([colptr, padding]) if padding.numel() else colptr.detach(), row.detach(), num_sources)

    return kept_with((colptr, row), ("torch_sparse.relation", num_sources, num_destinations), build)


def hgt_sample(
    colptr_dict: Tensors,
    row_dict: Tensors,
    input_node_dict: Tensors,
    num_samples_dict: dict[str, list[int]],
    num_hops: int,
) -> Sample:
    """Sample a number of nodes of each type in each hop, and give the edges between all of them.

    A node not yet sampled has a budget: the sum of 1 / degree over the sampled nodes that it leads to. Nodes of each
    type are drawn in proportion to the square of it, without replacement. Of a node with over 50 edges of a relation
    50 drawn ones are looked at, here and for the edges given.

    Args:
        input_node_dict: by type, nodes to start from.
        num_samples_dict: by type, nodes to draw in each hop.
    Returns: by type the nodes, input nodes first, types without any left out; by relation for each edge the local
        source, the local destination and its position.
    Source: Hu et al. 2020, algorithms 1 and 2 (arXiv:2003.01332); drawing by exponential keys: Efraimidis and Spirakis
        2006 (doi:10.1016/j.ipl.2005.11.003).
    """
    types = {name: _split(name) for name in colptr_dict}
    for name in set(colptr_dict) - set(row_dict):
        raise ValueError(f"row_dict lacks {name!r}")
    needed = {kind for source, _, destination in types.values() for kind in (source, destination)}
    for kind in (needed | set(input_node_dict)) - set(num_samples_dict):
        raise ValueError(f"num_samples_dict lacks {kind!r}")
    for kind, numbers in num_samples_dict.items():
        if len(numbers) < num_hops:
            raise ValueError(f"num_samples_dict[{kind!r}] has {len(numbers)} numbers for {num_hops} hops")
    sizes = _sizes({types[name]: (colptr, row_dict[name]) for name, colptr in colptr_dict.items()})
    graphs = {name: _graph(colptr, row_dict[name], types[name], sizes) for name, colptr in colptr_dict.items()}
    for kind, given in input_node_dict.items():
        check_range(given, sizes.get(kind, 2**63 - 1), f"input_node_dict[{kind!r}]")
    nothing = torch.empty(0, dtype=torch.long)
    nodes = {kind: input_node_dict.get(kind, nothing) for kind in num_samples_dict}
    budget = {kind: (nothing, torch.empty(0)) for kind in num_samples_dict}
    fresh = nodes
    for hop in range(num_hops):
        for name, adj in graphs.items():
            source, _, destination = types[name]
            budget[source] = _update(budget[source], adj, fresh[destination], nodes[source])
        fresh = {kind: _draw(*budget[kind], num_samples_dict[kind][hop]) for kind in nodes}
        nodes = {kind: torch.cat([nodes[kind], fresh[kind]]) for kind in nodes}
        budget = {kind: _without(*budget[kind], fresh[kind]) for kind in nodes}
    rows, cols, edges = {}, {}, {}
    for name, adj in graphs.items():
        source, _, destination = types[name]
        owner, edge, _ = _some_edges(adj, nodes[destination])
        found, place = positions(nodes[source], adj.indices[edge])
        rows[name], cols[name], edges[name] = place[found], owner[found], edge[found]
    return {kind: found for kind, found in nodes.items() if found.numel()}, rows, cols, edges


def _split(name: str) -> EdgeType:
    parts = name.split("__")
    if len(parts) < 3:
        raise ValueError(f"a relation must be named 'source__relation__destination' but is {name!r}")
    return parts[0], parts[1], parts[2]


def _some_edges(adj: CSR, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """At most MAX_NEIGHBORS edges of each of nodes: the position in nodes, the edge, and how many its node has here."""
    owner, edge = edges_of(adj.indptr, nodes)
    count = torch.bincount(owner, minlength=nodes.numel())
    if count.numel() and int(count.max()) > MAX_NEIGHBORS:
        shuffled = torch.argsort(torch.rand(edge.numel()))
        order = shuffled[torch.sort(owner[shuffled], stable=True)[1]]
        rank = torch.arange(edge.numel()) - (torch.cumsum(count, 0) - count)[owner]
        keep = torch.sort(order[rank < MAX_NEIGHBORS])[0]
        owner, edge, count = owner[keep], edge[keep], count.clamp(max=MAX_NEIGHBORS)
    return owner, edge, count[owner]


def _update(budget: tuple[Tensor, Tensor], adj: CSR, fresh: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """budget: nodes and what they have; fresh: those sampled last; seen: all sampled of the type of budget."""
    _owner, edge, count = _some_edges(adj, fresh)
    neighbor = adj.indices[edge]
    new = ~positions(seen, neighbor)[0]
    nodes, place = torch.unique(torch.cat([budget[0], neighbor[new]]), return_inverse=True)
    share = torch.cat([budget[1], 1.0 / count[new].float()])
    return nodes, scatter(share, place, nodes.numel(), "sum")


def _draw(nodes: Tensor, share: Tensor, number: int) -> Tensor:
    if number >= nodes.numel():
        return nodes
    key = torch.empty(nodes.numel(), dtype=torch.double).exponential_() / share.double().square()
    return nodes[torch.topk(key, max(number, 0), largest=False)[1]]


def _without(nodes: Tensor, share: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    left = ~positions(drawn, nodes)[0]
    return nodes[left], share[left]
