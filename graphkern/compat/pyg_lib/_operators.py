"""torch.ops.pyg.*: the operators that PyTorch Geometric calls, defined on request."""

from __future__ import annotations

from collections.abc import Callable

from graphkern.compat._operators import Operator, Operators
from graphkern.compat.pyg_lib import _dense, _hetero, _homogeneous, sampler

_DIFFERENTIABLE: dict[str, tuple[str, Callable]] = {
    "segment_matmul": ("(Tensor input, Tensor ptr, Tensor other) -> Tensor", _dense.segment_matmul),
    "grouped_matmul": ("(Tensor[] input, Tensor[] other) -> Tensor[]", _dense.grouped_matmul),
    "softmax_csr": ("(Tensor src, Tensor ptr, int dim=0) -> Tensor", _dense.softmax_csr),
    "sampled_op": (
        "(Tensor left, Tensor right, Tensor? left_index, Tensor? right_index, str op) -> Tensor",
        _dense.sampled_op,
    ),
}
_OPTIONS = (
    "bool csc=False, bool replace=False, bool directed=True, bool disjoint=False, str temporal_strategy='uniform',"
    " bool return_edge_id=True"
)
_SAMPLING: dict[str, tuple[str, Callable]] = {
    "index_sort": ("(Tensor indices, int? max=None) -> (Tensor, Tensor)", _dense.index_sort),
    "subgraph": (
        "(Tensor rowptr, Tensor col, Tensor nodes, bool return_edge_id) -> (Tensor, Tensor, Tensor?)",
        sampler.subgraph,
    ),
    "random_walk": (
        "(Tensor rowptr, Tensor col, Tensor seed, int walk_length, float p, float q) -> Tensor",
        sampler.random_walk,
    ),
    "neighbor_sample": (
        "(Tensor rowptr, Tensor col, Tensor seed, int[] num_neighbors, Tensor? node_time=None, Tensor? edge_time=None,"
        f" Tensor? seed_time=None, Tensor? edge_weight=None, {_OPTIONS})"
        " -> (Tensor, Tensor, Tensor, Tensor?, int[], int[])",
        _homogeneous.sample,
    ),
    "hetero_neighbor_sample": (
        "(str[] node_types, (str, str, str)[] edge_types, Dict(str, Tensor) rowptr_dict, Dict(str, Tensor) col_dict,"
        " Dict(str, Tensor) seed_dict, Dict(str, int[]) num_neighbors_dict, Dict(str, Tensor)? node_time_dict=None,"
        " Dict(str, Tensor)? edge_time_dict=None, Dict(str, Tensor)? seed_time_dict=None,"
        f" Dict(str, Tensor)? edge_weight_dict=None, {_OPTIONS}) -> (Dict(str, Tensor), Dict(str, Tensor),"
        " Dict(str, Tensor), Dict(str, Tensor)?, Dict(str, int[]), Dict(str, int[]))",
        _hetero.sample,
    ),
}


def _operators() -> list[Operator]:
    made_of_operators = [Operator(name + schema, function) for name, (schema, function) in _DIFFERENTIABLE.items()]
    return made_of_operators + [
        Operator(name + schema, function, "CompositeExplicitAutograd") for name, (schema, function) in _SAMPLING.items()
    ]


_PYG = Operators("pyg", _operators)
register, unregister = _PYG.register, _PYG.unregister
