"""The operators torch.ops.torch_sparse.*."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from graphkern.compat._operators import Operator, Operators
from graphkern.compat.torch_sparse import _hetero, _product, _sampling
from graphkern.compat.torch_sparse.diag import non_diag_mask
from graphkern.compat.torch_sparse.metis import NO_METIS
from graphkern.compat.torch_sparse.utils import ind2ptr, ptr2ind

_HETERO = (
    "str[] node_types, (str, str, str)[] edge_types, Dict(str, Tensor) colptr_dict, Dict(str, Tensor) row_dict,"
    " Dict(str, Tensor) input_node_dict, Dict(str, int[]) num_neighbors_dict"
)
_HETERO_OUT = "(Dict(str, Tensor), Dict(str, Tensor), Dict(str, Tensor), Dict(str, Tensor))"
_METIS = "Tensor rowptr, Tensor col, Tensor? value"


def _partition(*_args: object) -> Tensor:
    raise NotImplementedError(NO_METIS)


def _cuda_version() -> int:
    return -1


OPERATORS: dict[str, Callable] = {
    "spmm_sum(Tensor? row, Tensor rowptr, Tensor col, Tensor? value, Tensor? colptr, Tensor? csr2csc, Tensor mat)"
    " -> Tensor": _product.spmm_sum,
    "spmm_mean(Tensor? row, Tensor rowptr, Tensor col, Tensor? value, Tensor? rowcount, Tensor? colptr,"
    " Tensor? csr2csc, Tensor mat) -> Tensor": _product.spmm_mean,
    "spmm_min(Tensor rowptr, Tensor col, Tensor? value, Tensor mat) -> (Tensor, Tensor)": _product.spmm_min,
    "spmm_max(Tensor rowptr, Tensor col, Tensor? value, Tensor mat) -> (Tensor, Tensor)": _product.spmm_max,
    "ind2ptr(Tensor ind, int M) -> Tensor": ind2ptr,
    "ptr2ind(Tensor ptr, int E) -> Tensor": ptr2ind,
    "non_diag_mask(Tensor row, Tensor col, int M, int N, int k) -> Tensor": non_diag_mask,
    "neighbor_sample(Tensor colptr, Tensor row, Tensor input_node, int[] num_neighbors, bool replace, bool directed)"
    " -> (Tensor, Tensor, Tensor, Tensor)": _sampling.neighbor_sample,
    f"hetero_neighbor_sample({_HETERO}, int num_hops, bool replace, bool directed) -> {_HETERO_OUT}":
        _hetero.hetero_neighbor_sample,
    f"hetero_temporal_neighbor_sample({_HETERO}, Dict(str, Tensor) node_time_dict, int num_hops, bool replace,"
    f" bool directed) -> {_HETERO_OUT}": _hetero.hetero_temporal_neighbor_sample,
    "hgt_sample(Dict(str, Tensor) colptr_dict, Dict(str, Tensor) row_dict, Dict(str, Tensor) input_node_dict,"
    f" Dict(str, int[]) num_samples_dict, int num_hops) -> {_HETERO_OUT}": _hetero.hgt_sample,
    "random_walk(Tensor rowptr, Tensor col, Tensor start, int walk_length) -> Tensor": _sampling.random_walk,
    "saint_subgraph(Tensor idx, Tensor rowptr, Tensor row, Tensor col) -> (Tensor, Tensor, Tensor)":
        _sampling.saint_subgraph,
    "sample_adj(Tensor rowptr, Tensor col, Tensor idx, int num_neighbors, bool replace)"
    " -> (Tensor, Tensor, Tensor, Tensor)": _sampling.sample_adj,
    "ego_k_hop_sample_adj(Tensor rowptr, Tensor col, Tensor idx, int depth, int num_neighbors, bool replace)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)": _sampling.ego_k_hop_sample_adj,
    "relabel(Tensor col, Tensor idx) -> (Tensor, Tensor)": _sampling.relabel,
    "relabel_one_hop(Tensor rowptr, Tensor col, Tensor? value, Tensor idx, bool bipartite)"
    " -> (Tensor, Tensor, Tensor?, Tensor)": _sampling.relabel_one_hop,
    f"partition({_METIS}, int num_parts, bool recursive) -> Tensor": _partition,
    f"partition2({_METIS}, Tensor? node_weight, int num_parts, bool recursive) -> Tensor": _partition,
    f"mt_partition({_METIS}, Tensor? node_weight, int num_parts, bool recursive, int num_workers) -> Tensor":
        _partition,
    "cuda_version() -> int": _cuda_version,
}  # fmt: skip

# built of operators that have gradients and fakes of their own
_OPERATORS = Operators("torch_sparse", lambda: [Operator(schema, function) for schema, function in OPERATORS.items()])
register, unregister = _OPERATORS.register, _OPERATORS.unregister
