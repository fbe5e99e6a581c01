"""torch_sparse 0.6.18 over graphkern's ops, to be imported under that name where the real package is absent."""

from graphkern.compat.torch_sparse import _methods
from graphkern.compat.torch_sparse import matmul as _matmul
from graphkern.compat.torch_sparse._hetero import (
    hetero_neighbor_sample,
    hetero_temporal_neighbor_sample,
    hgt_sample,
)
from graphkern.compat.torch_sparse._operators import register, unregister
from graphkern.compat.torch_sparse._sampling import ego_k_hop_sample_adj, neighbor_sample
from graphkern.compat.torch_sparse.add import add, add_, add_nnz, add_nnz_
from graphkern.compat.torch_sparse.bandwidth import reverse_cuthill_mckee
from graphkern.compat.torch_sparse.cat import cat
from graphkern.compat.torch_sparse.coalesce import coalesce, spadd
from graphkern.compat.torch_sparse.convert import from_scipy, from_torch_sparse, to_scipy, to_torch_sparse
from graphkern.compat.torch_sparse.diag import fill_diag, get_diag, remove_diag, set_diag
from graphkern.compat.torch_sparse.eye import eye
from graphkern.compat.torch_sparse.index_select import index_select, index_select_nnz, permute
from graphkern.compat.torch_sparse.masked_select import masked_select, masked_select_nnz
from graphkern.compat.torch_sparse.metis import partition
from graphkern.compat.torch_sparse.mul import mul, mul_, mul_nnz, mul_nnz_
from graphkern.compat.torch_sparse.narrow import __narrow_diag__, narrow, select
from graphkern.compat.torch_sparse.reduce import max, mean, min, sum
from graphkern.compat.torch_sparse.sample import random_walk, saint_subgraph, sample, sample_adj
from graphkern.compat.torch_sparse.spmm import spmm
from graphkern.compat.torch_sparse.spspmm import spspmm
from graphkern.compat.torch_sparse.storage import SparseStorage
from graphkern.compat.torch_sparse.tensor import SparseTensor
from graphkern.compat.torch_sparse.transpose import t, transpose

__version__ = "0.6.18+graphkern"

_methods.attach(
    [(function.__name__, function) for function in (
        add, add_, add_nnz, add_nnz_, mul, mul_, mul_nnz, mul_nnz_, narrow, select, index_select, index_select_nnz,
        masked_select, masked_select_nnz, permute, remove_diag, set_diag, fill_diag, get_diag, sum, mean, min, max,
        sample, sample_adj, random_walk, saint_subgraph, partition, reverse_cuthill_mckee, t, __narrow_diag__,
        _methods.to_scipy, _matmul.matmul, _matmul.spmm, _matmul.spspmm,
    )]
    + [(name, _methods.cast(dtype)) for name, dtype in _methods.CASTS.items()]
    + [("__getitem__", _methods.getitem), ("__matmul__", _matmul.matmul), ("__iadd__", add_), ("__imul__", mul_)]
    + [(name, add) for name in ("__add__", "__radd__")]
    + [(name, mul) for name in ("__mul__", "__rmul__")]
)  # fmt: skip
SparseTensor.from_scipy = staticmethod(_methods.from_scipy)  # type: ignore[attr-defined]
matmul = _matmul.matmul

__all__ = [
    "SparseStorage",
    "SparseTensor",
    "__narrow_diag__",
    "__version__",
    "add",
    "add_",
    "add_nnz",
    "add_nnz_",
    "cat",
    "coalesce",
    "ego_k_hop_sample_adj",
    "eye",
    "fill_diag",
    "from_scipy",
    "from_torch_sparse",
    "get_diag",
    "hetero_neighbor_sample",
    "hetero_temporal_neighbor_sample",
    "hgt_sample",
    "index_select",
    "index_select_nnz",
    "masked_select",
    "masked_select_nnz",
    "matmul",
    "max",
    "mean",
    "min",
    "mul",
    "mul_",
    "mul_nnz",
    "mul_nnz_",
    "narrow",
    "neighbor_sample",
    "partition",
    "permute",
    "random_walk",
    "register",
    "remove_diag",
    "reverse_cuthill_mckee",
    "saint_subgraph",
    "sample",
    "sample_adj",
    "select",
    "set_diag",
    "spadd",
    "spmm",
    "spspmm",
    "sum",
    "t",
    "to_scipy",
    "to_torch_sparse",
    "transpose",
    "unregister",
]
