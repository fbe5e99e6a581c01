"""One row of the report: ours beside its peers, checked, timed and weighed."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .graphs import Absent
from .timing import Call, median_of, peak_bytes, race

LIMITS = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 2e-2}  # relative errors, in norm
TensorsCall = Callable[[], list[Tensor]]


def relative_error(got: list[Tensor], want: list[Tensor]) -> float:
    """The largest over the tensors of |got - want| / |want|.

    A norm of less than a thousandth of the largest counts as that: gradients that cancel out are rounding errors only.
    Other shapes and NaN give a billion.
    """
    errors, norms = [], []
    for one, other in zip(got, want, strict=True):
        if one.shape != other.shape:
            return 1e9
        other = other.to(one.dtype) if one.is_floating_point() else other
        errors.append(float((one - other).float().norm()))
        norms.append(float(other.float().norm()))
    if not all(map(math.isfinite, errors + norms)):
        return 1e9
    floor = max(1e-3 * max(norms, default=0), 1e-6)
    return max((error / max(norm, floor) for error, norm in zip(errors, norms, strict=True)), default=0)


def requiring_grad(arguments: Any, dtype: torch.dtype | None = None) -> tuple[tuple, dict]:
    """Floating arguments as leaves of their own, in another dtype where one is given."""
    args, kwargs = arguments

    def leaf(value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        return value.detach().to(dtype or value.dtype, copy=True).requires_grad_()

    return tuple(leaf(arg) for arg in args), {name: leaf(value) for name, value in kwargs.items()}


def leaves_of(arguments: Any) -> list[Tensor]:
    args, kwargs = arguments
    return [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor) and t.is_floating_point()]


def tensors_of(out: Any) -> list[Tensor]:
    """The result as a list; of pairs (values, indices) the values, since peers may order ties otherwise."""
    first = out[0] if isinstance(out, tuple) else out
    return [first] if isinstance(first, Tensor) else [first.nodes]


@functools.lru_cache(maxsize=1)
def _cotangent(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)


def with_gradients(call: Call, leaves: list[Tensor]) -> TensorsCall:
    """The call followed by its gradient to all leaves, for a fixed random gradient of the result."""

    def both() -> list[Tensor]:
        out = call()
        return [out.detach(), *torch.autograd.grad(out, leaves, _cotangent(out.shape, out.dtype, out.device))]

    return both


def call_of(make: Any, arguments: Any, backward: bool) -> TensorsCall:
    """make(*args, **kwargs) is a call; followed by its gradient where asked."""
    args, kwargs = arguments
    call: Call = make(*args, **kwargs)
    return with_gradients(call, leaves_of(arguments)) if backward else lambda: tensors_of(call())


@dataclass
class Result:
    """seconds: ours, NaN in a smoke run; peers: seconds by name; absent: name -> why it was not timed.

    peak, peer_peaks: bytes that a call adds, of the best peer and of those that `measure` was asked to weigh.
    """

    seconds: float
    peers: dict[str, float]
    absent: dict[str, str]
    peak: int
    peer_peaks: dict[str, int]

    def best(self, *without: str) -> str | None:
        """The fastest peer."""
        return min((name for name in self.peers if name not in without), key=self.peers.__getitem__, default=None)

    def ratio(self, name: str | None) -> float | None:
        """A peer's time over ours; None without it."""
        return self.peers[name] / self.seconds if name in self.peers else None

    @property
    def peer_peak(self) -> int | None:
        """Of the fastest peer."""
        return self.peer_peaks.get(self.best() or "")


def _first_call(make: Callable[[], TensorsCall], want: list[Tensor], limit: float) -> tuple[TensorsCall, float]:
    """The peer's call and its seconds, once its results agree. Raises Absent, with the reason, where they do not."""
    try:
        call = make()
        begin = time.perf_counter()
        out = call()
        seconds = time.perf_counter() - begin
    except RuntimeError as reason:
        text = str(reason).strip()
        raise Absent(f"refuses: {text.splitlines()[0] if text else type(reason).__name__}") from reason
    error = relative_error(out, want)
    if not error < limit:
        raise Absent(f"wrong: relative error over {10.0 ** math.floor(math.log10(error)):.0e}")
    return call, seconds


def measure(
    benchmark: Any, ours: TensorsCall, peers: dict[str, Callable[[], TensorsCall]], limit: float, *weighed: str
) -> Result:
    """Check each peer against ours, time all by turns, then weigh ours, the best peer and those `weighed`.

    peers: name -> makes the call (not timed). limit: of the relative error.
    """
    ours()
    begin = time.perf_counter()
    want = ours()
    first = time.perf_counter() - begin
    ready, absent = {}, {}
    for name, make in peers.items():
        try:
            ready[name] = _first_call(make, want, limit)
            if name.endswith("compiled"):
                ready[name] = _first_call(lambda call=ready[name][0]: call, want, limit)
        except Absent as reason:
            absent[name] = str(reason)
    seconds = race(benchmark, ours, first, ready)
    result = Result(median_of(benchmark), seconds, absent, peak_bytes(ours), {})
    for name in {result.best(), *weighed} & ready.keys():
        result.peer_peaks[name] = peak_bytes(ready[name][0])
    return result


def row_of(result: Result, op: str, case: str, direction: str, **more: Any) -> dict[str, Any]:
    """What extra_info holds of a result; `more` adds to it."""
    best = result.best()
    return {
        "op": op,
        "case": case,
        "direction": direction,
        "ms": result.seconds * 1e3,
        "peer": best,
        "ratio": result.ratio(best),
        "peak_mib": result.peak / 2**20,
        "peer_peak_mib": None if result.peer_peak is None else result.peer_peak / 2**20,
        "peers_ms": {name: seconds * 1e3 for name, seconds in result.peers.items()},
        "absent": result.absent,
        **more,
    }
