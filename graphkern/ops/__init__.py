"""The op catalogue: one folder an op, one import line here."""

from graphkern.ops.attention_aggregate import attention_aggregate
from graphkern.ops.bce_loss import bce_loss
from graphkern.ops.bpr_loss import bpr_loss
from graphkern.ops.counting_sort import COUNTING_SORT as COUNTING_SORT
from graphkern.ops.edge_softmax import edge_softmax
from graphkern.ops.gat_aggregate import gat_aggregate
from graphkern.ops.gather_csr import gather_csr
from graphkern.ops.gather_rows import gather_rows
from graphkern.ops.gatv2_aggregate import gatv2_aggregate
from graphkern.ops.induced_subgraph import InducedSubgraph, induced_subgraph
from graphkern.ops.info_nce import info_nce
from graphkern.ops.merge_topk import merge_topk
from graphkern.ops.random_walk import random_walk
from graphkern.ops.rank_metrics import rank_metrics
from graphkern.ops.sample_negatives import sample_negatives
from graphkern.ops.sample_neighbors import SampledSubgraph, sample_neighbors
from graphkern.ops.sample_neighbors_hetero import HeteroSubgraph, sample_neighbors_hetero
from graphkern.ops.scatter_reduce import scatter_reduce
from graphkern.ops.sddmm import sddmm
from graphkern.ops.segment_matmul import segment_matmul
from graphkern.ops.segment_reduce import segment_reduce
from graphkern.ops.spmm import spmm
from graphkern.ops.topk_scores import topk_scores

__all__ = [
    "HeteroSubgraph",
    "InducedSubgraph",
    "SampledSubgraph",
    "attention_aggregate",
    "bce_loss",
    "bpr_loss",
    "edge_softmax",
    "gat_aggregate",
    "gather_csr",
    "gather_rows",
    "gatv2_aggregate",
    "induced_subgraph",
    "info_nce",
    "merge_topk",
    "random_walk",
    "rank_metrics",
    "sample_negatives",
    "sample_neighbors",
    "sample_neighbors_hetero",
    "scatter_reduce",
    "sddmm",
    "segment_matmul",
    "segment_reduce",
    "spmm",
    "topk_scores",
]
