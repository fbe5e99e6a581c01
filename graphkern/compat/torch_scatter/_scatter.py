"""What scatter and segment_coo do: reductions by an index along one axis, with or without a tensor to start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphkern._kept import kept_with
from graphkern.csr import check_range
from graphkern.ops import _axis, _check
from graphkern.ops._check import FLOAT_DTYPES
from graphkern.ops.gather_index import GATHER_INDEX
from graphkern.ops.scatter_reduce import SCATTER_EXTREMUM, flat_index, result_size, scatter_reduce
from graphkern.ops.segment_reduce import SEGMENT_EXTREMUM, segment_reduce

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def numeric(src: Tensor, name: str) -> None:
    """NotImplementedError, as from the compiled kernels, for bool and complex."""
    if src.dtype not in FLOAT_DTYPES + INTEGERS:
        raise NotImplementedError(f"{name} is not implemented for {src.dtype}")


def fits(out: Tensor, src: Tensor, shape: tuple[int, ...]) -> None:
    """out has the dtype of src and the shape of the result."""
    if out.dtype != src.dtype:
        raise TypeError(f"out is {out.dtype} but src is {src.dtype}")
    if tuple(out.shape) != shape:
        raise ValueError(f"out must be {list(shape)} but is {list(out.shape)}")


class Places:
    """Where the entries of src go. values: [B, L, K]; index: [B or 1, L, K or 1]; size: N."""

    def __init__(self, src: Tensor, index: Tensor, dim: int, out: Tensor | None, dim_size: int | None) -> None:
        self.src = src
        self.dim = _axis.axis(src, dim)
        _axis.is_index(index, "index", src)
        if out is not None and out.dtype != src.dtype:
            raise TypeError(f"out is {out.dtype} but src is {src.dtype}")
        self.given = index
        self.index = flat_index(index, src, self.dim)
        self.size = result_size(index, None if out is not None else dim_size, src, self.dim, out)
        self.values = _axis.flatten(src, self.dim)

    def guarded(self, call: Callable, *args: Any) -> Any:
        """call(*args), and ValueError where it refuses an index out of range."""
        return _axis.guarded(call, args, lambda: check_range(self.given, self.size, "index"))

    def indptr(self) -> Tensor | None:
        """[N + 1] where each place begins, where `sorted_indptr` has it."""
        whole = self.given.shape[-1] == self.values.shape[1]
        return sorted_indptr(self.given, self.size) if whole else None

    def restore(self, flat: Tensor) -> Tensor:
        """[B, N, K] in the shape of src with N along dim."""
        return _axis.unflatten(flat, self.src, self.dim)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, N, K)"""
        return self.values.shape[0], self.size, self.values.shape[2]

    def filled(self, value: int) -> Tensor:
        """[B, N, K]"""
        return self.values.new_full(self.shape, value)

    def combined(self, start: Tensor, reduce: str) -> Tensor:
        """start [B, N, K], written: what torch's scatter_reduce_ makes of it and the values."""
        index = self.entrywise()
        if len(start) == 1:  # torch is faster along axis 0
            self.guarded(start[0].scatter_reduce_, 0, index[0], self.values[0], reduce)
        else:
            self.guarded(start.scatter_reduce_, 1, index, self.values, reduce)
        return start

    def entrywise(self) -> Tensor:
        """The index as torch's own scatter functions want it: [B, L, K] int64, a view where int64 came."""
        return self.index.long().expand(self.values.shape)


def add(
    src: Tensor, index: Tensor, dim: int, out: Tensor | None, dim_size: int | None, reduce: str, rounding: str = "floor"
) -> Tensor:
    """Sum or mean; integer means are rounded as `rounding` says."""
    if src.dtype in FLOAT_DTYPES:
        return scatter_reduce(src, index, None if out is not None else dim_size, reduce, dim, out)
    if reduce == "mean":
        numeric(src, "scatter_mean")
    places = Places(src, index, dim, out, dim_size)
    total = places.restore(places.combined(places.filled(0), "sum"))
    out = total if out is None else out.add_(total)
    if reduce == "mean":
        index = places.index.long()
        count = index.new_zeros(index.shape[0], places.size, index.shape[2])
        places.guarded(count.scatter_add_, 1, index, index.new_ones(1).expand(index.shape))
        count.clamp_(min=1)
        out.div_(places.restore(count.expand(places.shape)), rounding_mode=rounding)
    return out


def multiply(src: Tensor, index: Tensor, dim: int, out: Tensor | None, dim_size: int | None) -> Tensor:
    """Product; 1 where there is nothing to multiply."""
    numeric(src, "scatter_mul")
    places = Places(src, index, dim, out, dim_size)
    start = places.filled(1 if src.numel() > 0 or out is not None else 0)
    product = places.combined(start, "prod")
    return places.restore(product) if out is None else out.mul_(places.restore(product))


def extremum(
    src: Tensor,
    index: Tensor,
    dim: int,
    out: Tensor | None,
    dim_size: int | None,
    reduce: str,
    ordered: bool = False,
) -> tuple[Tensor, Tensor]:
    """Minimum or maximum, and the position in src along dim that gave it: -1 where none did or the given out stands.

    Without out, a place whose entries do not get beyond the lowest (min: highest) finite value of the dtype is 0, as
    one without entries is.
    """
    numeric(src, f"scatter_{reduce}")
    places = Places(src, index, dim, out, dim_size)
    bounds = torch.finfo(src.dtype) if src.is_floating_point() else torch.iinfo(src.dtype)
    worst = bounds.min if reduce == "max" else bounds.max
    if not src.is_floating_point():
        return _integer_extremum(places, out, reduce, int(worst))
    new, arg, beaten = _floating_extremum(places, reduce, ordered, worst)
    if out is not None:
        new, arg = places.restore(new), places.restore(arg)
        wins = (arg >= 0) & (new > out if reduce == "max" else new < out)
        return out.copy_(torch.where(wins, new, out)), torch.where(wins, arg, -1)
    if beaten is not None:
        new, arg = new.masked_fill(beaten, 0), arg.masked_fill(beaten, -1)
    return places.restore(new), places.restore(arg)


def _floating_extremum(
    places: Places, reduce: str, ordered: bool, worst: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """[B, N, K], its positions, and where nothing is beyond worst: None if a look shows that there is no such place.

    On the CPU a NaN never wins. Elsewhere it does: to look for one would wait for the device.
    """
    pointer = places.indptr() if ordered else None
    kernel = (SEGMENT_EXTREMUM if pointer is not None else SCATTER_EXTREMUM).known(_check.needs_gradient(places.src))
    where = (places.index, places.size) if pointer is None else (pointer,)
    new, arg = places.guarded(kernel, places.values, *where, reduce)
    if not torch.compiler.is_compiling() and new.device.type == "cpu" and new.numel() > 0:
        seen = new.detach()
        if bool(seen.amin() > worst if reduce == "max" else seen.amax() < worst):
            return new, arg, None
        if bool(seen.isnan().any()):
            passed_over = float("-inf" if reduce == "max" else "inf")
            new, arg = kernel(places.values.masked_fill(places.values.isnan(), passed_over), *where, reduce)
    return new, arg, new <= worst if reduce == "max" else new >= worst


def _integer_extremum(places: Places, out: Tensor | None, reduce: str, worst: int) -> tuple[Tensor, Tensor]:
    target, values, length = places.entrywise(), places.values, places.values.shape[1]
    old = places.filled(worst) if out is None else _axis.flatten(out, places.dim)
    name = "amax" if reduce == "max" else "amin"
    new = places.combined(old.clone(), name)
    won = values == new.gather(1, target)
    position = torch.arange(length, device=values.device)[None, :, None].expand(values.shape)
    arg = torch.full(new.shape, length, device=values.device)
    arg.scatter_reduce_(1, target, torch.where(won, position, length), "amin")
    arg = places.restore(arg.masked_fill_((new == old) | (arg == length), -1))
    if out is not None:
        return out.copy_(places.restore(new)), arg
    return places.restore(new.masked_fill_(new == worst, 0)), arg


def arguments(arg: Tensor, length: int) -> Tensor:
    """Positions as torch_scatter gives them: int64, `length` in place of -1."""
    return torch.where(arg >= 0, arg, length).long()


def take(src: Tensor, index: Tensor, dim: int, shape: tuple[int, ...]) -> Tensor:
    """src at index along dim: the way back from a reduction. index broadcasts to shape, that of the result."""
    _axis.is_index(index, "index", src)
    target = src.new_empty(1).expand(shape)
    flat, places = _axis.flatten(src, dim), flat_index(index, target, dim)

    def check() -> None:
        check_range(index, src.shape[dim], "index")

    if src.dtype in FLOAT_DTYPES:
        return _axis.unflatten(_axis.guarded(GATHER_INDEX, (flat, places), check), src, dim)
    places = places.long().expand(flat.shape[0], -1, flat.shape[2])
    return _axis.unflatten(_axis.guarded(torch.gather, (flat, 1, places), check), src, dim)


def nothing(src: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros gathered from a src without values: they have its gradient all the same."""
    return src.new_zeros(shape) + src.sum().to(src.dtype)


def add_sorted(src: Tensor, index: Tensor, dim: int, out: Tensor | None, dim_size: int | None, reduce: str) -> Tensor:
    """`add` for an index that ascends along dim; in another order it is only slower. Integer means lose their
    fraction, as those of the compiled kernels do."""
    if out is None and src.dtype in FLOAT_DTYPES:
        places = Places(src, index, dim, out, dim_size)
        pointer = places.indptr()
        if pointer is not None:
            return segment_reduce(src, pointer, reduce, dim)
    return add(src, index, dim, out, dim_size, reduce, rounding="trunc")


def is_sorted(index: Tensor) -> bool:
    """Whether index never falls along its last axis; kept with it."""
    return kept_with([index], "torch_scatter.is_sorted", lambda: bool((index[..., 1:] >= index[..., :-1]).all()))


def sorted_indptr(index: Tensor, size: int) -> Tensor | None:
    """[size + 1] where each place begins in an index that ascends and is the same for every batch; kept with it.

    None for another index, for one much shorter than size, and under torch.compile, which cannot look.
    Raises: ValueError for a value out of range.
    """
    batches = zip(index.shape[:-1], index.stride(), strict=False)
    if torch.compiler.is_compiling() or index.numel() == 0 or any(n != 1 and stride != 0 for n, stride in batches):
        return None
    if size > 4 * index.shape[-1]:
        return None

    def build() -> Tensor | None:
        row = index.detach()[(0,) * (index.dim() - 1)].contiguous()
        if not is_sorted(index):
            return None
        check_range(torch.stack([row[0], row[-1]]), size, "index")
        return torch.searchsorted(row, torch.arange(size + 1, dtype=row.dtype, device=row.device))

    return kept_with([index], ("torch_scatter.sorted_indptr", size), build)
