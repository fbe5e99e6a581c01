"""graphkern: fused kernels for graph learning in PyTorch, and a recommender built on them."""

from graphkern import _native, _op
from graphkern._use import use
from graphkern.csr import CSR
from graphkern.ops import (
    SampledSubgraph,
    attention_aggregate,
    edge_softmax,
    gat_aggregate,
    gather_csr,
    gatv2_aggregate,
    info_nce,
    sample_neighbors,
    scatter_reduce,
    sddmm,
    segment_matmul,
    segment_reduce,
    spmm,
    topk_scores,
)

__version__ = "0.1.0"
__all__ = [
    "CSR",
    "SampledSubgraph",
    "attention_aggregate",
    "edge_softmax",
    "gat_aggregate",
    "gather_csr",
    "gatv2_aggregate",
    "info_nce",
    "sample_neighbors",
    "scatter_reduce",
    "sddmm",
    "segment_matmul",
    "segment_reduce",
    "spmm",
    "topk_scores",
    "use",
]

_native.load()
_op.fill_in()
