"""What the attention ops share: argument checks, the softmax over a row's edges, dropout of edges."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import CSR, row_index
from graphkern.ops import _check
from graphkern.ops.sample_neighbors.reference import philox

DROPOUT_STREAM = 0x44524F50  # the fourth word of the counters that dropout draws from


def check_dropout(dropout_p: float, seed: int) -> None:
    if not 0 <= dropout_p < 1:
        raise ValueError(f"dropout_p must be in [0, 1) but is {dropout_p}")
    if not torch.compiler.is_compiling() and not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed must fit int64 but is {seed}")


def check_heads(adj: CSR, **tensors: Tensor) -> None:
    """Floating tensors of one dtype on the graph's device; the first is [*, H, D] with H, D >= 1."""
    _check.is_csr(adj)
    _check.floating(**tensors)
    name, first = next(iter(tensors.items()))
    _check.same_device(adj, first, name)
    if first.dim() != 3 or 0 in first.shape[1:]:
        raise ValueError(f"{name} must be [rows, H, D] with at least one feature but is {list(first.shape)}")


def check_shape(tensor: Tensor, name: str, *shape: int) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} must be {list(shape)} but is {list(tensor.shape)}")


def ends(indptr: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """[E] row and column of each edge, int64."""
    return row_index(indptr, indices.shape[0]).long(), indices.long()


def sum_rows(values: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """[N, ...] sums of values [E, ...] over the edges of each row."""
    return values.new_zeros(num_rows, *values.shape[1:]).index_add(0, row, values)


def softmax_rows(score: Tensor, row: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """Softmax of score [E, H] over the edges of each row, and its log-sum-exp [N, H]: -inf for a row without edges."""
    index = row[:, None].expand_as(score)
    maximum = score.new_full((num_rows, score.shape[1]), -torch.inf).scatter_reduce(0, index, score, "amax")
    exponential = torch.exp(score - maximum[row])
    total = sum_rows(exponential, row, num_rows)
    return exponential / total[row], maximum + torch.log(total)


def keep_scale(num_edges: int, heads: int, dropout_p: float, seed: int, like: Tensor) -> Tensor:
    """[E, H]: 1 / (1 - dropout_p) where an edge's weight is kept, 0 where it is dropped.

    Head h of the edge at CSR position e draws the word of lane h % 4 at counter (e low, e high, h // 4,
    DROPOUT_STREAM); it is kept where that is below (1 - dropout_p) * 2^32.
    """
    if dropout_p == 0:
        return like.new_ones(num_edges, heads)
    edge = torch.arange(num_edges, device=like.device)
    stream = torch.full_like(edge, DROPOUT_STREAM)
    blocks = [
        philox((edge & 0xFFFFFFFF, edge >> 32, torch.full_like(edge, block), stream), seed)
        for block in range((heads + 3) // 4)
    ]
    words = torch.stack([word for block in blocks for word in block], dim=1)[:, :heads]
    return (words < min(int((1 - dropout_p) * 2**32), 2**32 - 1)).to(like.dtype) / (1 - dropout_p)
