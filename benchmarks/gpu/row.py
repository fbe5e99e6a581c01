"""A row: ours, by each implementation there is, beside its peers; all checked against the reference, then timed."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import graphkern
from graphkern._op import OPS

from ..graphs import Absent
from ..measure import TensorsCall, relative_error
from .clock import Clock, Contender

Maker = Callable[[], TensorsCall]


@dataclass
class Work:
    """What a row runs.

    want: what the reference gives in float64; called once.
    peers: name -> makes the call (not timed). limit: of the relative error.
    nbytes: that must move, None where that is not the limit. gather: table and number of its rows that are read.
    edges: that a call draws; then it is timed by the host.
    """

    ours: TensorsCall
    want: TensorsCall
    peers: dict[str, Maker]
    limit: float
    nbytes: int | None = None
    gather: tuple[Tensor, int] | None = None
    edges: int | None = None


@dataclass
class Times:
    """What was measured of a row: seconds and bytes by contender, GB/s of the gather ceiling."""

    ours: list[str]
    seconds: dict[str, float]
    peaks: dict[str, int]
    nbytes: int | None
    gather: float | None
    edges: int | None

    def best(self, *prefixes: str) -> str | None:
        """The fastest peer whose name begins with one of the prefixes; none is any."""
        names = [n for n in self.seconds if n not in self.ours and n.startswith(prefixes or "")]
        return min(names, key=self.seconds.__getitem__, default=None)

    def gbps(self, own: str) -> float | None:
        return self.nbytes / self.seconds[own] / 1e9 if self.nbytes is not None and own in self.seconds else None


Target = Callable[[Times, str], float | None]  # of the row and one of ours


def over(*prefixes: str) -> Target:
    """The fastest such peer's time over ours."""

    def value(times: Times, own: str) -> float | None:
        peer = times.best(*prefixes)
        return times.seconds[peer] / times.seconds[own] if peer else None

    return value


def memory_over(*prefixes: str) -> Target:
    """Our memory over the fastest such peer's."""

    def value(times: Times, own: str) -> float | None:
        peer = times.best(*prefixes)
        return times.peaks[own] / max(times.peaks[peer], 1) if peer else None

    return value


def of_gather(times: Times, own: str) -> float | None:
    gbps = times.gbps(own)
    return gbps / times.gather if gbps is not None and times.gather else None


def edge_rate(times: Times, own: str) -> float | None:
    """M edges/s."""
    return times.edges / times.seconds[own] / 1e6 if times.edges is not None else None


@dataclass(frozen=True)
class Row:
    """group: rows of the same op and kind of input. ops: that `graphkern.use` switches, the main one first."""

    group: str
    case: str
    ops: tuple[str, ...]
    make: Callable[[], Work]
    targets: dict[str, Target] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.group}: {self.case}"


def _serving(implementation: str, ops: tuple[str, ...]) -> contextlib.AbstractContextManager:
    return graphkern.use(implementation, *(name for name in ops if OPS[name].missing(implementation) is None))


def _implementations(op: str, device: str) -> list[str]:
    """The default first."""
    others = [i for i in ("cuda", "triton") if device == "cuda" and OPS[op].missing(i) is None]
    return list(dict.fromkeys([OPS[op].active(device), *others]))


def _check(contender: Contender, want: list[Tensor], limit: float) -> None:
    """Raises Absent, with the reason, where the call does not give what the reference gives."""
    try:
        with contender.context():
            out = [t.to_dense() if t.is_sparse else t for t in contender.call()]
        error = relative_error([t.to(want[0].device) for t in out], want)
    except Exception as reason:  # peers fail in many ways
        text = str(reason).strip()
        raise Absent(f"refuses: {text.splitlines()[0] if text else type(reason).__name__}") from reason
    if not error < limit:
        raise Absent(f"wrong: relative error over {10.0 ** math.floor(math.log10(error)):.0e}")


def _enter(work: Work, ours: list[str], ops: tuple[str, ...]) -> tuple[dict[str, Contender], dict[str, str]]:
    """Who gives the right result, and why others are absent."""
    want = [t.detach().to_dense() if t.is_sparse else t.detach() for t in work.want()]
    torch.cuda.empty_cache()
    makers: dict[str, Maker] = {own: lambda: work.ours for own in ours} | work.peers
    contenders, absent = {}, {}
    for name, make in makers.items():
        context = functools.partial(_serving, name, ops) if name in ours else contextlib.nullcontext
        try:
            contender = Contender(make(), context)
            _check(contender, want, work.limit)
            contenders[name] = contender
        except Absent as reason:
            absent[name] = str(reason)
    return contenders, absent


def measure(row: Row, clock: Clock) -> dict[str, Any]:
    """The row of the results file. `failed` says which of ours gave no right result, and why."""
    work, ours = row.make(), _implementations(row.ops[0], clock.device)
    contenders, absent = _enter(work, ours, row.ops)
    failed = {own: absent.pop(own) for own in ours if own in absent}
    ready = [own for own in ours if own in contenders]
    result: dict[str, Any] = {"group": row.group, "case": row.case, "default": ours[0], "ours": ready, "failed": failed}
    result |= {"peers": [name for name in contenders if name not in ours], "absent": absent}
    seconds = clock.race(contenders, by_host=work.edges is not None)
    if not seconds:
        return result
    peaks = {name: clock.peak(contender) for name, contender in contenders.items()}
    gather = None if work.gather is None else clock.gather_gbps(*work.gather)
    times = Times(ours, seconds, peaks, work.nbytes, gather, work.edges)
    best, winner = times.best(), min(ready, key=seconds.__getitem__, default=None)
    result |= {"ms": {name: value * 1e3 for name, value in seconds.items()}, "peer": best, "winner": winner}
    result |= {"peak_mib": {name: value / 2**20 for name, value in peaks.items()}, "edges": work.edges}
    gbps = times.gbps(ours[0])
    if gbps is not None:
        result |= {"gbps": gbps, "of_copy": gbps / clock.copy_gbps(), "of_gather": of_gather(times, ours[0])}
    for key, own in (("targets", ours[0]), ("winner_targets", winner)):
        values = {label: target(times, own) for label, target in row.targets.items() if own in seconds}
        result[key] = {label: value for label, value in values.items() if value is not None}
    return result
