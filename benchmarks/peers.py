"""What a user would call without graphkern, for each public function.

A peer takes the function's arguments and returns a call with the same result (and gradients to the same tensors); what
could be kept from call to call (index conversions, sparse matrices) is made outside of the call. It raises Absent,
with the reason, where it does not apply.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from graphkern import CSR

from .graphs import Absent
from .timing import FULL, SMOKE, Call

AMAX = {"max": "amax", "min": "amin"}
Peers = dict[str, dict[str, Callable[..., Call]]]
PEERS: Peers = {}


def register(peers: Peers, function: str, name: str) -> Callable[[Callable[..., Call]], Callable[..., Call]]:
    """Put what follows among the peers of a public function."""

    def put(make: Callable[..., Call]) -> Callable[..., Call]:
        peers.setdefault(function, {})[name] = make
        return make

    return put


peer = functools.partial(register, PEERS)


@functools.cache
def torch_scatter() -> Any:
    try:
        import torch_scatter as module
    except ImportError as reason:
        raise Absent(str(reason)) from reason
    if not module.__file__ or not hasattr(torch.ops.torch_scatter, "segment_sum_csr"):
        raise Absent("torch_scatter is not the compiled package")
    return module


def _edges(adj: CSR, *features: Tensor, gib: int = 7) -> tuple[Tensor, Tensor]:
    """Row and column of each edge, int64.

    Raises Absent, unless in full mode, where messages of these features take over `gib` GiB: less where faster peers
    are there to compare with.
    """
    if adj.num_edges:
        copies = 4 if any(x.requires_grad for x in features) else 1
        size = copies * sum(adj.num_edges * x.nbytes // max(x.shape[0], 1) for x in features)
        if size > gib << 30 and not FULL:
            raise Absent(f"takes over {gib} GiB of messages: in full mode only")
    return adj.row_index().long(), adj.indices.long()


def _wide(index: Tensor, like: Tensor) -> Tensor:
    return index.view(-1, *[1] * (like.dim() - 1)).expand_as(like)


def scatter_rows(message: Tensor, index: Tensor, size: int, reduce: str) -> Tensor:
    out = message.new_zeros(size, *message.shape[1:])
    how = AMAX.get(reduce, reduce)
    return out.scatter_reduce(0, _wide(index, message), message, how, include_self=False)


def _spmm_gib(x: Tensor) -> int:
    """With heads and gradients these are the only peers."""
    return 1 if x.dim() == 2 else 7


def _message(x: Tensor, weight: Tensor | None, column: Tensor) -> Tensor:
    if weight is None:
        return x[column]
    return x[column] * weight.view(*weight.shape, *[1] * (x.dim() - weight.dim()))


# spmm


def _sparse_mm(index_dtype: torch.dtype, with_reduce: bool) -> Callable[..., Call]:
    """torch.sparse.mm, plain (MKL) or with reduce=; a product a head. The plain mean divides the values once."""

    def make(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Call:
        if not with_reduce and (reduce in ("max", "min") or (reduce == "mean" and weight is not None)):
            raise Absent("only sums")
        dense = weight is not None and weight.requires_grad and (reduce == "sum" or not with_reduce)
        if dense and adj.num_rows * adj.num_cols > 1 << 28:
            raise Absent("its gradient for the values is a dense N x M matrix")
        indptr, indices = adj.indptr.to(index_dtype), adj.indices.to(index_dtype)

        def matrix(values: Tensor) -> Tensor:
            return torch.sparse_csr_tensor(indptr, indices, values, (adj.num_rows, adj.num_cols))

        def product(a: Tensor, b: Tensor) -> Tensor:
            return torch.sparse.mm(a, b, AMAX.get(reduce, reduce)) if with_reduce else torch.sparse.mm(a, b)

        if weight is not None and weight.dim() == 2:
            heads = range(weight.shape[1])
            if not weight.requires_grad:
                kept = [matrix(weight[:, h].contiguous()) for h in heads]
                return lambda: torch.stack([product(kept[h], x[:, h]) for h in heads], 1)
            return lambda: torch.stack([product(matrix(weight[:, h].contiguous()), x[:, h]) for h in heads], 1)
        if weight is not None and weight.requires_grad:
            return lambda: product(matrix(weight), x)
        values = x.new_ones(adj.num_edges) if weight is None else weight
        if reduce == "mean" and not with_reduce:
            values = values / adj.degree()[adj.row_index()]
        ready = matrix(values)
        return lambda: product(ready, x)

    return make


for _dtype in (torch.int64, torch.int32):
    _bits = str(_dtype).removeprefix("torch.")
    peer("spmm", f"torch.sparse.mm {_bits}")(_sparse_mm(_dtype, with_reduce=False))
    peer("spmm", f"torch.sparse.mm reduce= {_bits}")(_sparse_mm(_dtype, with_reduce=True))


@peer("spmm", "scipy")
def _scipy(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Call:
    if x.requires_grad or x.dim() != 2 or reduce not in ("sum", "mean"):
        raise Absent("no gradient, heads, max or min")
    try:
        matrix = adj.to_scipy()
    except ImportError as reason:
        raise Absent(str(reason)) from reason
    values = torch.ones(adj.num_edges, dtype=x.dtype) if weight is None else weight
    if reduce == "mean":
        values = values / adj.degree()[adj.row_index()]
    matrix.data = values.numpy()
    features = x.numpy()
    return lambda: torch.from_numpy(matrix @ features)


@peer("spmm", "index_add_")
def _index_add(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Call:
    if reduce != "sum":
        raise Absent("only sums")
    row, column = _edges(adj, x, gib=_spmm_gib(x))
    return lambda: x.new_zeros(adj.num_rows, *x.shape[1:]).index_add_(0, row, _message(x, weight, column))


@peer("spmm", "scatter_reduce_")
def _scatter_reduce(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Call:
    row, column = _edges(adj, x, gib=_spmm_gib(x))
    return lambda: scatter_rows(_message(x, weight, column), row, adj.num_rows, reduce)


@peer("spmm", "scatter_reduce_ compiled")
def _compiled(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Call:
    if not FULL and (x.shape[1:] != (64,) or weight is not None or adj.num_edges > 100_000 or reduce == "min"):
        raise Absent("takes long to compile: on Last-FM, or in full mode")
    row, column = _edges(adj, x)

    def call(x: Tensor, weight: Tensor | None, row: Tensor, column: Tensor) -> Tensor:
        return scatter_rows(_message(x, weight, column), row, adj.num_rows, reduce)

    torch._dynamo.reset()
    compiled = torch.compile(call, backend="aot_eager" if SMOKE else "inductor", dynamic=False)
    return lambda: compiled(x, weight, row, column)


@peer("spmm", "torch_scatter.segment_csr")
def _gather_segment_csr(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Call:
    segment_csr, indptr = torch_scatter().segment_csr, adj.indptr.long()
    column = _edges(adj, x, gib=_spmm_gib(x))[1]
    return lambda: segment_csr(_message(x, weight, column), indptr, reduce=reduce)


@peer("spmm", "torch_scatter.scatter")
def _gather_scatter(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Call:
    scatter, (row, column) = torch_scatter().scatter, _edges(adj, x, gib=_spmm_gib(x))
    return lambda: scatter(_message(x, weight, column), row, 0, dim_size=adj.num_rows, reduce=reduce)


@peer("spmm", "embedding_bag")
def _embedding_bag(adj: CSR, x: Tensor, weight: Tensor | None = None, reduce: str = "sum") -> Call:
    if x.dim() != 2 or (weight is not None and reduce != "sum") or reduce == "min":
        raise Absent("no heads, no min, weights only in sums")
    options = {"mode": reduce, "include_last_offset": True, "per_sample_weights": weight}
    return lambda: functional.embedding_bag(adj.indices, x, adj.indptr, **options)


# sddmm, edge_softmax


@peer("sddmm", "gather, multiply, sum")
def _gather_dot(adj: CSR, q: Tensor, k: Tensor) -> Call:
    row, column = _edges(adj, q, k, gib=2 if q.dim() == 2 else 7)
    return lambda: (q[row] * k[column]).sum(-1)


@peer("sddmm", "torch.sparse.sampled_addmm")
def _sampled_addmm(adj: CSR, q: Tensor, k: Tensor) -> Call:
    if q.dim() != 2:
        raise Absent("no heads")
    size = adj.num_rows, adj.num_cols
    zeros = torch.sparse_csr_tensor(adj.indptr, adj.indices, q.new_zeros(adj.num_edges), size)
    return lambda: torch.sparse.sampled_addmm(zeros, q, k.T, beta=0.0).values()


def _softmax(score: Tensor, row: Tensor, num_rows: int) -> Tensor:
    top = scatter_rows(score.detach(), row, num_rows, "max")
    exp = (score - top[row]).exp()
    return exp / exp.new_zeros(top.shape).index_add_(0, row, exp)[row]


@peer("edge_softmax", "scatter_reduce_, index_add_")
def _torch_softmax(adj: CSR, score: Tensor) -> Call:
    row = _edges(adj)[0]
    return lambda: _softmax(score, row, adj.num_rows)


@peer("edge_softmax", "torch_scatter.scatter_softmax")
def _scatter_softmax(adj: CSR, score: Tensor) -> Call:
    softmax, row = torch_scatter().composite.scatter_softmax, _edges(adj)[0]
    return lambda: softmax(score, row, 0, adj.num_rows)


def _pyg_softmax(**given: bool) -> Callable[..., Call]:
    def make(adj: CSR, score: Tensor) -> Call:
        try:
            from torch_geometric.utils import softmax
        except ImportError as reason:
            raise Absent(str(reason)) from reason
        if "ptr" in given:
            ptr = adj.indptr.long()
            return lambda: softmax(score, ptr=ptr)
        row = _edges(adj)[0]
        return lambda: softmax(score, row, num_nodes=adj.num_rows)

    return make


peer("edge_softmax", "PyG softmax by index")(_pyg_softmax())
peer("edge_softmax", "PyG softmax by ptr")(_pyg_softmax(ptr=True))


# Attention: what PyG's layers do between their linear maps, without its message classes


def _attend(adj: CSR, row: Tensor, message: Tensor, score: Tensor) -> Tensor:
    weighted = message * _softmax(score, row, adj.num_rows)[..., None]
    return weighted.new_zeros(adj.num_rows, *weighted.shape[1:]).index_add_(0, row, weighted)


def _same_weights(options: dict) -> None:
    if options.get("dropout_p", 0) > 0:
        raise Absent("would draw another dropout")


@peer("gat_aggregate", "gather, softmax, index_add_")
def _gat(adj: CSR, x: Tensor, alpha_src: Tensor, alpha_dst: Tensor, negative_slope: float = 0.2, **options) -> Call:
    _same_weights(options)
    row, column = _edges(adj, x)

    def call() -> Tensor:
        score = functional.leaky_relu(alpha_src[column] + alpha_dst[row], negative_slope)
        return _attend(adj, row, x[column], score)

    return call


@peer("gatv2_aggregate", "gather, softmax, index_add_")
def _gatv2(adj: CSR, x_src: Tensor, x_dst: Tensor, att: Tensor, negative_slope: float = 0.2, **options) -> Call:
    _same_weights(options)
    row, column = _edges(adj, x_src, x_dst)

    def call() -> Tensor:
        message = x_src[column]
        score = (functional.leaky_relu(message + x_dst[row], negative_slope) * att).sum(-1)
        return _attend(adj, row, message, score)

    return call


@peer("attention_aggregate", "gather, softmax, index_add_")
def _attention(adj: CSR, q: Tensor, k: Tensor, v: Tensor, scale: float | None = None, **options) -> Call:
    _same_weights(options)
    row, column = _edges(adj, q, k, v)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    return lambda: _attend(adj, row, v[column], (q[row] * k[column]).sum(-1) * factor)
