from __future__ import annotations

from collections.abc import Iterator

import triton.language as tl
from torch import Tensor

from graphkern.ops import _triton
from graphkern.ops import _triton_attention as ta


# q: [N, H, DEPTH], k: [M, H, DEPTH], out: [E, H], in the order of `edge` where that is not None.
@ta.jit
def sddmm_kernel(
    indptr, indices, edge, q, k, out, first, num_rows, num_edges, heads, PIECES: tl.constexpr, ACC: tl.constexpr,
    DEPTH: tl.constexpr, PIECE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_F: tl.constexpr,
):  # fmt: skip
    block = first + tl.program_id(0).to(tl.int64) * BLOCK_N
    _pair, owner, head, begin, degree, real = ta.span(indptr, block, num_rows, num_edges, heads, PIECES, PIECE, BLOCK_N)
    own = ta.load_own(q, owner, real, ACC, DEPTH, BLOCK_F)
    for start in range(0, tl.max(degree), BLOCK_E):
        valid, position, entry = ta.edges_at(indices, begin, degree, start, head, heads, BLOCK_E)
        if edge is not None:
            position = tl.load(edge + position, mask=valid, other=0).to(tl.int64)
        dot = tl.sum(own * ta.gather(k, entry, valid, ACC, DEPTH, BLOCK_F), axis=2)
        tl.store(out + position * heads + head[:, None], dot.to(out.dtype.element_ty), mask=valid)


def sddmm(
    indptr: Tensor,
    indices: Tensor,
    edge: Tensor | None,
    t_indptr: Tensor | None,
    t_indices: Tensor | None,
    t_edge: Tensor | None,
    q: Tensor,
    k: Tensor,
    heads: int,
) -> Tensor:
    q, k, out = q.contiguous(), k.contiguous(), _triton.empty(q, indices.shape[0], heads)
    walk = ta.Walk(indptr, indices.shape[0], q.view(q.shape[0], heads, q.shape[1] // heads))
    for items, in_pieces in ((walk.num_rows, False), (walk.num_pieces, True)):
        walk.launch(sddmm_kernel, items, PIECES=in_pieces, indices=indices, edge=edge, q=q, k=k, out=out)
    return out.to(q.dtype)


def variants() -> Iterator[_triton.Variant]:
    yield from ta.variants(sddmm_kernel, "indices edge", "q k out", PIECES=False)
    yield from ta.variants(sddmm_kernel, "indices", "q k out", PIECES=True, edge=None)
