from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton
from graphkern.ops import _triton_attention as ta
from graphkern.ops import _triton_pair_attention as tp

PROGRAMS = 4096  # about so many; each leaves sums for the gradient of att


# See pair_gradients. Program p takes block p, p + programs, ... of pairs, whose n-th pairs all have the same head, and
# leaves their sums in row p * BLOCK_N + n of att_sums [programs * BLOCK_N, DEPTH].
@ta.jit
def gatv2_backward_kernel(
    indptr, indices, edge, own_a, own_b, other_a, other_b, att, stats, grad_a, att_sums, num_pairs, num_rows,
    num_edges, heads, slope: tl.float64, threshold: tl.int64, factor: tl.float64, seed: tl.int64,
    DROPOUT: tl.constexpr, PIECES: tl.constexpr, ACC: tl.constexpr, DEPTH: tl.constexpr, PIECE: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    lane = tl.arange(0, BLOCK_N).to(tl.int64)
    program = tl.program_id(0).to(tl.int64)
    total = tl.full((BLOCK_N, BLOCK_F), 0.0, ACC)
    for start in range(program * BLOCK_N, num_pairs, tl.num_programs(0) * BLOCK_N):
        pair, real, gradient, _, part = tp.pair_gradients(
            start, indptr, indices, edge, own_a, own_b, other_a, other_b, att, stats, num_rows, num_edges, heads,
            slope, threshold, factor, seed, DROPOUT, PIECES, ACC, DEPTH, PIECE, BLOCK_N, BLOCK_E, BLOCK_F,
        )  # fmt: skip
        ta.store_own(grad_a, pair, real, gradient, DEPTH, BLOCK_F)
        total += part
    ta.store_own(att_sums, program * BLOCK_N + lane, lane >= 0, total, DEPTH, BLOCK_F)


def gatv2_aggregate(
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    negative_slope: float,
    dropout_p: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    source, own = x_src.contiguous(), x_dst.contiguous()
    return tp.pair_forward(indptr, indices, own, source, source, att.contiguous(), negative_slope, dropout_p, seed)


def gatv2_aggregate_backward(
    grad: Tensor,
    indptr: Tensor,
    indices: Tensor,
    t_indptr: Tensor,
    t_indices: Tensor,
    t_edge: Tensor,
    x_src: Tensor,
    x_dst: Tensor,
    att: Tensor,
    out: Tensor,
    lse: Tensor,
    negative_slope: float,
    dropout_p: float,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    g, source, own = grad.contiguous(), x_src.contiguous(), x_dst.contiguous()
    grad_src, grad_dst = _triton.empty(source, *source.shape), _triton.empty(own, *own.shape)
    common = {"stats": ta.row_stats(g, out, lse), "att": att.contiguous(), "slope": negative_slope}
    common |= ta.dropout(dropout_p, seed)
    att_sums: list[Tensor] = []
    for bounds, graph, ends, gradient in (
        (indptr, (indices, None), (own, g, source, source), grad_dst),
        (t_indptr, (t_indices, t_edge), (source, source, own, g), grad_src),
    ):
        walk = ta.Walk(bounds, indices.shape[0], source)
        names = ("indices", "edge", "own_a", "own_b", "other_a", "other_b")
        arguments = dict(zip(names, (*graph, *ends), strict=True)) | common

        def launch(items: int, walk: ta.Walk = walk, arguments: dict[str, Any] = arguments, **outputs: Any) -> None:
            att_sums.append(_launch(walk, items, arguments | outputs))

        walk.sums({"grad_a": gradient}, launch)
    grad_att = torch.stack(att_sums).sum(0).to(att.dtype)
    return grad_src.to(source.dtype), grad_dst.to(source.dtype), grad_att


def _launch(walk: ta.Walk, items: int, arguments: dict[str, Any]) -> Tensor:
    """Returns the part of these items in the gradient of att, [H, D]."""
    blocks = ta.head_choices(walk.depth, items * walk.heads)[0]
    num_blocks = min(PROGRAMS, triton.cdiv(items * walk.heads, blocks.n))
    programs = walk.heads * triton.cdiv(num_blocks, walk.heads)
    sums = walk.values.new_empty(programs * blocks.n // walk.heads, walk.heads, walk.depth, dtype=walk.wide)
    if programs:
        with _triton.on_device(walk.values):
            gatv2_backward_kernel[(programs,)](
                **walk.arguments,
                **arguments,
                **blocks.flags(),
                att_sums=sums,
                num_pairs=items * walk.heads,
                DEPTH=walk.depth,
                num_warps=blocks.num_warps,
            )
    return sums.sum(0)


def variants() -> Iterator[_triton.Variant]:
    yield from tp.pair_variants(gatv2_backward_kernel, True)
