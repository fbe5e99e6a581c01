"""What the sampling functions share: checks of their arguments, and those as the operator takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphkern.csr import CSR
from graphkern.ops import _check

EdgeType = tuple[str, str, str]  # source type, relation, destination type
_seen: WeakIdKeyDictionary = WeakIdKeyDictionary()  # tensor -> its version when its values were read


@dataclass(frozen=True)
class Options:
    replace: bool
    temporal: str
    disjoint: bool
    labor: bool
    seed: int

    def __post_init__(self) -> None:
        random_seed(self.seed)
        if self.temporal not in ("uniform", "last"):
            raise ValueError(f"temporal must be 'uniform' or 'last' but is {self.temporal!r}")
        for name, wanted in (("temporal='last'", self.temporal == "last"), ("labor", self.labor)):
            if wanted and self.replace:
                raise ValueError(f"{name} cannot draw with replacement")
        if self.labor and self.temporal == "last":
            raise ValueError("labor draws at random: it cannot be temporal='last' as well")

    @property
    def mode(self) -> str:
        return "labor" if self.labor else self.temporal


@dataclass(frozen=True)
class Relation:
    """A graph to sample from, with weights and times of its edges or columns."""

    adj: CSR
    weight: Tensor | None
    time: Tensor | None
    of_nodes: bool  # time is that of the columns


def random_seed(seed: int) -> None:
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must fit int64 but is {seed}")


def square(adj: CSR) -> None:
    _check.is_csr(adj)
    if adj.num_rows != adj.num_cols:
        raise ValueError(f"adj must be square but is {adj.num_rows} x {adj.num_cols}")


def fanouts(values: Sequence[int]) -> list[int]:
    numbers = [int(value) for value in values]
    if not numbers or min(numbers) < -1:
        raise ValueError(f"fanouts must be one number a hop, each at least -1, but are {numbers}")
    return numbers


def relation(
    adj: CSR, weight: Tensor | None, edge_time: Tensor | None, node_time: Tensor | None, name: str = ""
) -> Relation:
    """name: what is put behind the names of arguments in messages."""
    if weight is not None:
        if not isinstance(weight, Tensor) or weight.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"weight{name} must be a float32 or float64 Tensor but is {_kind(weight)}")
        _shape(weight, f"weight{name}", adj.num_edges, adj)
        _values(weight, f"weight{name}", "finite and not negative")
    if edge_time is not None and node_time is not None:
        raise ValueError("edge_time and node_time exclude each other")
    time = node_time if edge_time is None else edge_time
    if time is not None:
        kind, size = ("node_time", adj.num_cols) if edge_time is None else ("edge_time", adj.num_edges)
        _time(time, f"{kind}{name}", size, adj)
    return Relation(adj, weight, time, edge_time is None)


def seed_times(
    of: Relation,
    seeds: Mapping[str, Tensor],
    given: Mapping[str, Tensor | None],
    node_time: Mapping[str, Tensor | None],
) -> list[Tensor]:
    """For each type of seeds the latest time allowed; nothing where times do not count."""
    if of.time is None:
        if any(time is not None for time in given.values()):
            raise ValueError("seed_time needs edge_time or node_time")
        return []
    if not of.of_nodes and all(time is None for time in given.values()):
        raise ValueError("edge_time needs seed_time")
    times = []
    for kind, nodes in seeds.items():
        time, its_nodes = given.get(kind), node_time.get(kind)
        if time is None and its_nodes is not None:
            time = its_nodes[nodes.long().to(its_nodes.device)].to(nodes.device)
        if time is None:
            if nodes.shape[0]:
                raise ValueError("edge_time needs seed_time")
            time = nodes.new_empty(0, dtype=torch.int64)
        _time(time, "seed_time", nodes.shape[0], of.adj, once=False)
        times.append(time)
    return times


def arguments(
    relations: Mapping[EdgeType, Relation],
    seeds: Mapping[str, Tensor],
    times: list[Tensor],
    fanouts: list[int],
    options: Options,
) -> tuple:
    """What SAMPLE_NEIGHBORS takes. fanouts: hop after hop, each of every relation; seeds: of every node type."""
    number = {kind: i for i, kind in enumerate(seeds)}
    graphs = [r.adj for r in relations.values()]
    weights = [r.weight for r in relations.values() if r.weight is not None]
    edge_times = [r.time for r in relations.values() if r.time is not None]
    if weights and (options.temporal == "last" or options.labor):
        raise ValueError(f"{'labor' if options.labor else 'temporal=' + repr('last')} takes no weight")
    if options.temporal == "last" and not edge_times:
        raise ValueError("temporal='last' needs edge_time or node_time")
    sizes = _num_nodes(relations, seeds)
    for kind, nodes in seeds.items():
        _check.index(nodes, "seeds" + (f"[{kind!r}]" if kind else ""), sizes[kind])
        _in_reach(graphs[0], nodes, "seeds")
    return (
        [adj.indptr for adj in graphs],
        [adj.indices for adj in graphs],
        [adj.indices[:0] if adj._edge_id is None else adj._edge_id.to(adj.dtype) for adj in graphs],
        [number[source] for source, _, _ in relations],
        [number[destination] for _, _, destination in relations],
        [nodes.to(graphs[0].indptr.dtype) for nodes in seeds.values()],
        weights,
        edge_times,
        times,
        list(sizes.values()),
        fanouts,
        options.mode,
        options.replace,
        options.disjoint or bool(times),
        any(r.of_nodes and r.time is not None for r in relations.values()),
        options.seed,
    )


def _num_nodes(relations: Mapping[EdgeType, Relation], seeds: Mapping[str, Tensor]) -> dict[str, int]:
    """The number of nodes of each type, by the graphs that it takes part in."""
    sizes: dict[str, int] = {}
    for (source, name, destination), of in relations.items():
        for kind, size in ((destination, of.adj.num_rows), (source, of.adj.num_cols)):
            if sizes.setdefault(kind, size) != size:
                raise ValueError(
                    f"adjs[{(source, name, destination)!r}] has {size} nodes of type {kind!r}, not {sizes[kind]}"
                )
    return {kind: sizes[kind] for kind in seeds}


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def _shape(tensor: Tensor, name: str, size: int, adj: CSR) -> None:
    if tensor.shape != (size,):
        raise ValueError(f"{name} must be [{size}] but is {list(tensor.shape)}")
    _in_reach(adj, tensor, name)


def _in_reach(adj: CSR, tensor: Tensor, name: str) -> None:
    if not _check.in_reach(adj, tensor):
        _check.same_device(adj, tensor, name)


def _time(time: Tensor, name: str, size: int, adj: CSR, once: bool = True) -> None:
    if not isinstance(time, Tensor) or time.dtype != torch.int64:
        raise TypeError(f"{name} must be an int64 Tensor but is {_kind(time)}")
    _shape(time, name, size, adj)
    _values(time, name, "not negative", once)


def _values(tensor: Tensor, name: str, what: str, once: bool = True) -> None:
    """Every value is in [0, inf). Read once a tensor, and again when it was written to; not while compiling."""
    once = once and not tensor.is_inference()  # such a tensor has no version
    if torch.compiler.is_compiling() or (once and _seen.get(tensor) == tensor._version):
        return
    good = tensor >= 0
    if tensor.is_floating_point():
        good &= tensor < torch.inf
    if not bool(good.all()):
        place = int((~good).nonzero()[0])
        raise ValueError(f"{name} must be {what} but {name}[{place}] is {tensor[place].item()}")
    if once:
        _seen[tensor] = tensor._version
