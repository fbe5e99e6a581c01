"""What a SparseTensor does beyond what TorchScript compiles: indexing, casts, scipy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch._jit_internal import _drop as not_in_torchscript

from graphkern.compat.torch_sparse.index_select import index_select
from graphkern.compat.torch_sparse.masked_select import masked_select
from graphkern.compat.torch_sparse.narrow import narrow, select
from graphkern.compat.torch_sparse.storage import SparseStorage, get_layout
from graphkern.compat.torch_sparse.tensor import SparseTensor

CASTS = {
    "bfloat16": torch.bfloat16, "bool": torch.bool, "byte": torch.uint8, "char": torch.int8, "half": torch.half,
    "float": torch.float, "double": torch.double, "short": torch.short, "int": torch.int, "long": torch.long,
}  # fmt: skip


def attach(functions: Iterable[tuple[str, Callable]]) -> None:
    """Make each function a method of SparseTensor of this name."""
    for name, function in functions:
        setattr(SparseTensor, name, _method(function))


def _method(function: Callable) -> Callable:
    @not_in_torchscript
    @functools.wraps(function)
    def method(self: SparseTensor, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return method


def cast(dtype: torch.dtype) -> Callable[[SparseTensor], SparseTensor]:
    def cast_values(src: SparseTensor) -> SparseTensor:
        return src.type(dtype)

    return cast_values


def getitem(src: SparseTensor, index: Any) -> SparseTensor:
    """src[index]: an int or a slice without step, indices or a mask (Tensor, array or list), or ..., for each axis.

    Each index selects along its own axis. An int keeps its axis, of size 1.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    if sum(item is Ellipsis for item in items) > 1:
        raise SyntaxError("an index can have one ellipsis only")
    out, dim = src, 0
    for place, item in enumerate(items):
        if item is Ellipsis:
            rest = len(items) - place - 1
            if src.dim() - rest < dim:
                raise SyntaxError(f"too many indices for a tensor of dimension {src.dim()}")
            dim = src.dim() - rest
            continue
        if dim >= src.dim():
            raise IndexError(f"too many indices for a tensor of dimension {src.dim()}")
        out = _select(out, dim, item)
        dim += 1
    return out


def _select(src: SparseTensor, dim: int, item: Any) -> SparseTensor:
    if isinstance(item, int) and not isinstance(item, bool):
        return select(src, dim, item)
    if isinstance(item, slice):
        if item.step is not None:
            raise ValueError("a slice with a step is not supported")
        start, stop, _ = item.indices(src.size(dim))
        return narrow(src, dim, start, max(stop - start, 0))
    if isinstance(item, (str, bytes)) or not hasattr(item, "__len__"):
        raise SyntaxError(f"a SparseTensor cannot be indexed by {type(item).__name__}")
    index = torch.as_tensor(item, device=src.device())
    if index.dtype == torch.bool:
        return masked_select(src, dim, index)
    return index_select(src, dim, index.long() if index.numel() == 0 else index)


def from_scipy(mat: Any, has_value: bool = True) -> SparseTensor:
    """From any scipy sparse matrix."""
    colptr = torch.from_numpy(mat.indptr).long() if mat.format == "csc" else None
    mat = mat.tocsr().sorted_indices()  # a copy
    storage = SparseStorage(
        rowptr=torch.from_numpy(mat.indptr).long(),
        col=torch.from_numpy(mat.indices).long(),
        value=torch.from_numpy(mat.data) if has_value else None,
        sparse_sizes=(int(mat.shape[0]), int(mat.shape[1])),
        colptr=colptr,
        is_sorted=True,
    )
    return SparseTensor.from_storage(storage)


def to_scipy(src: SparseTensor, layout: str | None = None, dtype: torch.dtype | None = None) -> Any:
    """A scipy coo_matrix, csr_matrix or csc_matrix; dtype: that of the ones where there are no values."""
    import scipy.sparse

    if src.dim() != 2:
        raise ValueError(f"scipy takes matrices of scalars but an entry here is {src.sizes()[2:]}")
    layout = get_layout(layout)
    tensors = {"coo": src.coo, "csr": src.csr, "csc": src.csc}[layout]()
    value = torch.ones(src.nnz(), dtype=dtype) if tensors[2] is None else tensors[2]
    first, second, data = (tensor.detach().cpu().numpy() for tensor in (*tensors[:2], value))
    if layout == "coo":
        return scipy.sparse.coo_matrix((data, (first, second)), src.sparse_sizes())
    kind = scipy.sparse.csr_matrix if layout == "csr" else scipy.sparse.csc_matrix
    return kind((data, second, first), src.sparse_sizes())
