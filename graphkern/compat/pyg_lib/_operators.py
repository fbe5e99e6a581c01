"""torch.ops.pyg.*: the operators that PyTorch Geometric calls, defined on request."""

from __future__ import annotations

from collections.abc import Callable

import torch

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
_defined: list[torch.library.Library] = []


def register() -> None:
    """Define the operators torch.ops.pyg.*; nothing where they are defined by this function already.

    Raises: RuntimeError where another library, the real pyg-lib, has defined them.
    """
    if _defined:
        return
    if torch._C._dispatch_has_kernel("pyg::neighbor_sample"):
        raise RuntimeError("torch.ops.pyg.neighbor_sample is defined already: pyg-lib itself is loaded")
    library = torch.library.Library("pyg", "FRAGMENT")
    for operators, key in (
        (_DIFFERENTIABLE, "CompositeImplicitAutograd"),  # made of operators that have gradients
        (_SAMPLING, "CompositeExplicitAutograd"),  # takes part even where no argument is a Tensor, but a Dict of them
    ):
        for name, (schema, function) in operators.items():
            library.define(name + schema)
            library.impl(name, function, key)
    _defined.append(library)


def unregister() -> None:
    """Take away what register defined; nothing where it did not."""
    for library in _defined:
        library._destroy()
    _defined.clear()
