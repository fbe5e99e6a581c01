"""The op catalogue: one folder an op, one import line here."""

from graphkern.ops.counting_sort import COUNTING_SORT as COUNTING_SORT
from graphkern.ops.info_nce import info_nce
from graphkern.ops.sample_neighbors import SampledSubgraph, sample_neighbors
from graphkern.ops.sddmm import sddmm
from graphkern.ops.spmm import spmm
from graphkern.ops.topk_scores import topk_scores

__all__ = ["SampledSubgraph", "info_nce", "sample_neighbors", "sddmm", "spmm", "topk_scores"]
