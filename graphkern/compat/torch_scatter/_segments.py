"""What segment_csr and gather_csr do: consecutive entries, one indptr for all batches or one a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphkern.compat.torch_scatter import _scatter
from graphkern.ops import _axis, _check
from graphkern.ops._check import FLOAT_DTYPES
from graphkern.ops.gather_csr import gather_csr
from graphkern.ops.gather_csr.reference import gather_csr as gather_any
from graphkern.ops.segment_reduce import SEGMENT_EXTREMUM, segment_reduce
from graphkern.ops.segment_reduce.reference import segment_index


class Segments:
    """Segments of the axis that the last axis of indptr speaks of.

    pointer: [S + 1], the same for every batch; or, where `batched`, [B (S + 1) + 1] for B batches end to end, each
    followed by a segment of what lies between its last one and the next batch.
    """

    def __init__(self, src: Tensor, indptr: Tensor) -> None:
        self.dim = dim = indptr.dim() - 1
        _axis.is_index(indptr, "indptr", src)
        if not 0 <= dim < src.dim():
            raise ValueError(f"indptr must have 1 to {src.dim()} axes (those of src) but has {indptr.dim()}")
        if any(n != 1 and n != m for n, m in zip(indptr.shape[:-1], src.shape[:dim], strict=True)):
            raise ValueError(f"indptr {list(indptr.shape)} does not broadcast to src {list(src.shape)}")
        if indptr.shape[-1] == 0:
            indptr = indptr.new_zeros(1)
        self.num_segments = indptr.shape[-1] - 1
        self.before, self.after = src.shape[:dim], src.shape[dim + 1 :]
        self.batched = any(
            n != 1 and stride != 0 for n, stride in zip(indptr.shape[:-1], indptr.stride(), strict=False)
        )
        if self.batched:
            self.rows = indptr.expand(*self.before, -1).reshape(math.prod(self.before), indptr.shape[-1]).long()
        else:
            self.rows = indptr[(slice(0, 1),) * (indptr.dim() - 1)].reshape(1, -1)

    def pointer(self, length: int) -> Tensor:
        """For an axis of so many entries. Raises: ValueError (CPU, eager) for a batch that leaves it."""
        if not self.batched:
            return self.rows[0]
        if not torch.compiler.is_compiling() and self.rows.device.type == "cpu":
            low, high = self.rows[:, 0], self.rows[:, -1]
            if bool((low < 0).any() | (high > length).any() | (self.rows[:, 1:] < self.rows[:, :-1]).any()):
                raise ValueError(f"indptr must ascend within [0, {length}]")
        shifted = self.rows + self.offset(length)
        return torch.cat([shifted.reshape(-1), shifted.new_full((1,), len(self.rows) * length)])

    def offset(self, length: int) -> Tensor:
        """[B, 1] where each batch begins."""
        return torch.arange(len(self.rows), dtype=self.rows.dtype, device=self.rows.device)[:, None] * length

    def named(self, length: int) -> Tensor:
        """Whether a position is in a segment: `length` of them along dim, 1 or as many as src along each other axis."""
        position = torch.arange(length, device=self.rows.device)
        named = (position >= self.rows[:, :1]) & (position < self.rows[:, -1:])
        before = self.before if self.batched else [1] * self.dim
        return named.reshape(*before, length, *[1] * len(self.after))

    def entries(self, src: Tensor) -> Tensor:
        """src as [B, L, K], or [1, B L, K] where batched."""
        flat = _axis.flatten(src, self.dim)
        return flat.flatten(0, 1).unsqueeze(0) if self.batched else flat

    def restore(self, flat: Tensor, length: int) -> Tensor:
        """Back to the axes of src, with `length` in place of dim; batched drops what is between the batches."""
        if self.batched:
            flat = flat[0].unflatten(0, (len(self.rows), flat.shape[1] // max(len(self.rows), 1)))[:, :length]
        return flat.reshape(*self.before, length, *self.after)

    def padded(self, src: Tensor) -> Tensor:
        """[B, S, K], or [1, B (S + 1), K] with zeros for what is between the batches."""
        flat = _axis.flatten(src, self.dim)
        if not self.batched:
            return flat
        return torch.cat([flat, flat.new_zeros(flat.shape[0], 1, flat.shape[2])], 1).flatten(0, 1).unsqueeze(0)


def reduce_segments(src: Tensor, indptr: Tensor, out: Tensor | None, reduce: str) -> Tensor:
    """Sum or mean; integer means lose their fraction."""
    _scatter.numeric(src, f"segment_{reduce}_csr")
    segments = Segments(src, indptr)
    flat, pointer = segments.entries(src), segments.pointer(src.shape[segments.dim])
    if src.dtype in FLOAT_DTYPES:
        result = segment_reduce(flat, pointer, reduce, 1)
    else:
        index = _segment_index(pointer, flat.shape[1])
        result = _scatter.add(flat, index, 1, None, pointer.shape[0], reduce, rounding="trunc")[:, :-1]
    return _into(out, segments.restore(result, segments.num_segments))


def extreme_segments(src: Tensor, indptr: Tensor, out: Tensor | None, reduce: str) -> tuple[Tensor, Tensor]:
    """Minimum or maximum and, in int64, its position along the axis: L for an empty segment."""
    _scatter.numeric(src, f"segment_{reduce}_csr")
    segments = Segments(src, indptr)
    length = src.shape[segments.dim]
    flat, pointer = segments.entries(src), segments.pointer(length)
    if src.dtype in FLOAT_DTYPES:
        kernel = SEGMENT_EXTREMUM.known(_check.needs_gradient(src))
        result, arg = _axis.guarded(
            kernel, (flat, pointer, reduce), lambda: _axis.indptr_values(pointer, flat.shape[1])
        )
    else:
        index = _segment_index(pointer, flat.shape[1])
        result, arg = _scatter.extremum(flat, index, 1, None, pointer.shape[0], reduce)
        result, arg = result[:, :-1], arg[:, :-1]
    result, arg = (segments.restore(flat, segments.num_segments) for flat in (result, arg))
    if segments.batched:
        offset = segments.offset(length).reshape(*segments.before, 1, *[1] * len(segments.after))
        arg = torch.where(arg >= 0, arg - offset, arg)
    return _into(out, result), _scatter.arguments(arg, length)


def gather_segments(src: Tensor, indptr: Tensor, out: Tensor | None) -> Tensor:
    """One copy of a segment's entry for each position in it."""
    _scatter.numeric(src, "gather_csr")
    segments = Segments(src, indptr)
    dim = segments.dim
    if src.shape[dim] != 0 and src.shape[dim] != segments.num_segments:
        raise ValueError(f"indptr must have {src.shape[dim]} segments, as src, but has {segments.num_segments}")
    if out is not None:
        length = out.shape[dim] if out.dim() == src.dim() else -1
        _scatter.fits(out, src, (*segments.before, length, *segments.after))
    elif src.numel() == 0:
        length = 0
    else:
        length = int(segments.rows[-1, -1])
    if src.numel() == 0:
        return _scatter.nothing(src, (*segments.before, 0, *segments.after)) if out is None else out
    if length < 0:
        raise ValueError(f"the result cannot have {length} entries")
    pointer = segments.pointer(length)
    total = length * len(segments.rows) if segments.batched else length
    flat = segments.padded(src)
    if src.dtype in FLOAT_DTYPES:
        result = gather_csr(flat, pointer, 1, total)
    else:
        _axis.indptr_values(pointer, total)
        result = gather_any(flat, pointer, total, "sum")
    result = segments.restore(result, length)
    if out is None:
        return result
    return out.copy_(torch.where(segments.named(length), result, out))


def _segment_index(pointer: Tensor, length: int) -> Tensor:
    _axis.indptr_values(pointer, length)
    return segment_index(pointer, length)


def _into(out: Tensor | None, result: Tensor) -> Tensor:
    if out is None:
        return result
    _scatter.fits(out, result, tuple(result.shape))
    return out.copy_(result)
