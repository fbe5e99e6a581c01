"""What the Triton kernels over tiles of rows times rows share: products, logits, positives, log-sum-exp."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.csr import row_index


@triton.jit
def load_tile(x, first_row, num_rows, first_feature, depth, BLOCK: tl.constexpr, BLOCK_F: tl.constexpr):
    """[BLOCK, BLOCK_F] of x [num_rows, depth]; 0 beyond."""
    row, feature = tl.arange(0, BLOCK), tl.arange(0, BLOCK_F)
    mask = (row < num_rows - first_row)[:, None] & (feature < depth - first_feature)[None, :]
    entry = (row[:, None] * depth + feature[None, :]).to(tl.int32)
    return tl.load(x + (first_row * depth + first_feature) + entry, mask=mask, other=0.0)


@triton.jit
def positives_of_rows(positives, b, real_b):
    """Where the positives of queries b begin, and how many there are."""
    begin = tl.load(positives[0] + b, mask=real_b, other=0)
    return begin, (tl.load(positives[0] + b + 1, mask=real_b, other=0) - begin).to(tl.int32)


@triton.jit
def lower(entry, begin, count, place):
    """How many of count rising entries from begin on are lower than place."""
    below = ((begin + place) * 0).to(tl.int32)
    step = 1
    while step <= tl.max(count):
        step *= 2
    while step > 0:
        inside = below + step <= count
        less = tl.load(entry + (begin + below + step - 1), mask=inside, other=0) < place
        below = tl.where(inside & less, below + step, below)
        step //= 2
    return below


@triton.jit
def any_positive(positives, b, real_b, first_key, end_key, SEVERAL: tl.constexpr):
    """Whether one of queries b has a positive among keys first_key to end_key; without ids, where ranks are keys."""
    if SEVERAL:
        begin, count = positives_of_rows(positives, b, real_b)
        found = lower(positives[1], begin, count, end_key) > lower(positives[1], begin, count, first_key)
    else:
        target = tl.load(positives[1] + b, mask=real_b, other=-1)
        found = (target >= first_key) & (target < end_key)
    return tl.max(found.to(tl.int32)) > 0


@triton.jit
def find_positives(positives, keys, b, k, real_b, real_k, SEVERAL: tl.constexpr, IDS: tl.constexpr, ACC: tl.constexpr):
    """For queries b and keys k that broadcast to a tile: each key's share of the mean over the query's positives, and
    with IDS whether it has the id of one but is none. SEVERAL: the entries of a row are the ranks of its positives,
    rising."""
    _indptr, entry, entry_id, share = positives
    key_id, rank = keys
    identity = k
    if IDS:
        identity = tl.load(key_id + k, mask=real_k, other=0)
    if SEVERAL:
        place = k
        if IDS:
            place = tl.load(rank + k, mask=real_k, other=-1)
        begin, count = positives_of_rows(positives, b, real_b)
        below = lower(entry, begin, count, place)
        at, found = begin + below, below < count
        positive = found & (tl.load(entry + at, mask=found, other=-1) == place) & real_k
        part = tl.load(share + at, mask=positive, other=0.0)
        same = positive
        if IDS:
            same = found & (tl.load(entry_id + at, mask=found, other=0) == identity)
            same |= (below > 0) & (tl.load(entry_id + (at - 1), mask=below > 0, other=0) == identity)
    else:
        target = tl.load(entry + b, mask=real_b, other=-1)
        positive = (target == k) & real_k
        part = positive.to(ACC)
        same = positive
        if IDS:
            same = tl.load(key_id + target, mask=real_b, other=-1) == identity
    if IDS:
        same &= positive == 0
    return part, same


@triton.jit
def products(
    sides,
    places,
    OPERAND: tl.constexpr,
    ACC: tl.constexpr,
    WHOLE: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    D: tl.constexpr,
):
    """[M, N]: rows of own times rows of walked; WHOLE: held and value are all of them."""
    own, held, walked, value = sides
    first_row, num_rows, first_column, end, depth = places
    s = tl.zeros((M, N), ACC)
    if WHOLE:
        s = tl.dot(held.to(OPERAND), tl.trans(value.to(OPERAND)), s, input_precision="ieee", out_dtype=ACC)
    else:
        for first in range(0, depth, D):
            x = load_tile(own, first_row, num_rows, first, depth, M, D).to(OPERAND)
            y = load_tile(walked, first_column, end, first, depth, N, D).to(OPERAND)
            s = tl.dot(x, tl.trans(y), s, input_precision="ieee", out_dtype=ACC)
    return s


@triton.jit
def to_logits(s, scale, bias, k, real_k, real, left_out, BIASED: tl.constexpr, IDS: tl.constexpr, ACC: tl.constexpr):
    """Products to logits, -inf where they do not count."""
    s *= scale
    if BIASED:
        s += tl.load(bias + k, mask=real_k, other=0.0).to(ACC)
    if IDS:
        s = tl.where(left_out, float("-inf"), s)
    return tl.where(real, s, float("-inf"))


@triton.jit
def finite(top):
    """What to subtract before exp: 0 for an infinite maximum, as inf - inf is NaN."""
    return tl.where(tl.abs(top) == float("inf"), 0.0, top)


@triton.jit
def merge(partial, row, num_rows, splits):
    """The log-sum-exp of those of the splits, [splits, num_rows]."""
    top = tl.load(partial + row, mask=row < num_rows, other=0.0)
    for split in range(1, splits):
        top = tl.maximum(top, tl.load(partial + (split * num_rows + row), mask=row < num_rows, other=0.0))
    total = tl.zeros_like(top)
    for split in range(splits):
        total += tl.exp(tl.load(partial + (split * num_rows + row), mask=row < num_rows, other=0.0) - finite(top))
    return finite(top) + tl.log(total)


def positives_of(
    indptr: Tensor | None, target: Tensor, key_id: Tensor | None, scale: Tensor, num_keys: int
) -> dict[str, Any]:
    """What find_positives takes. A key's rank is its place in the order of ids, without ids the key itself."""
    prepared: dict[str, Any] = dict.fromkeys(("indptr", "entry", "entry_id", "key_id", "rank"), target)
    prepared |= {"share": scale, "SEVERAL": indptr is not None, "IDS": key_id is not None}
    if key_id is not None:
        prepared["key_id"] = key_id.contiguous()
    if indptr is None:
        return prepared
    row, entry = row_index(indptr, target.shape[0]), target
    if key_id is not None:
        order = torch.argsort(key_id, stable=True)
        rank = torch.empty_like(order).scatter_(0, order, torch.arange(num_keys, device=order.device))
        prepared["rank"], entry = rank, rank[target]
    place = torch.sort(row * num_keys + entry).values
    prepared["indptr"], prepared["entry"] = indptr.contiguous(), place - row * num_keys
    if key_id is not None:
        prepared["entry_id"] = key_id[order][prepared["entry"]]
    times = torch.searchsorted(place, place, right=True) - torch.searchsorted(place, place)
    prepared["share"] = times.to(scale.dtype) / (indptr[1:] - indptr[:-1])[row].to(scale.dtype)
    return prepared
