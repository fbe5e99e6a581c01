"""graphkern: fused kernels for graph learning in PyTorch, and a recommender built on them."""

from graphkern import _native, _op
from graphkern._use import use
from graphkern.csr import CSR
from graphkern.ops import SampledSubgraph, info_nce, sample_neighbors, sddmm, spmm, topk_scores

__version__ = "0.1.0"
__all__ = ["CSR", "SampledSubgraph", "info_nce", "sample_neighbors", "sddmm", "spmm", "topk_scores", "use"]

_native.load()
_op.fill_in()
