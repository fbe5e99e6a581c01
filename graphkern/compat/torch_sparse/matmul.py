# ruff: noqa: F811  torch.jit tells overloads apart by their annotations
"""Products of a sparse matrix with a dense or a sparse one."""

import torch
from torch import Tensor

from graphkern.compat.torch_sparse import _product
from graphkern.compat.torch_sparse._check import check_pointers, check_range, resized
from graphkern.compat.torch_sparse.tensor import SparseTensor
from graphkern.compat.torch_sparse.utils import repeated, segment


def _scripted(src: SparseTensor, other: Tensor, reduce: str) -> tuple[Tensor, Tensor]:
    """The product and, for min and max, the winning entries, by operators that TorchScript knows and that stay."""
    rowptr, col, value = src.csr()
    flat = _product.columns(other, value, col.numel())
    if not col.is_cuda:  # on the CPU a bad index is a bad address
        check_pointers(rowptr, "rowptr", col.numel())
        check_range(col, "col", other.size(-2))
    if not other.is_floating_point():
        message = _product.messages(flat, col, value)
        out, arg = segment(message, rowptr, reduce), col
        if reduce == "min" or reduce == "max":
            out, arg = _product.integer_extremum(message, rowptr, reduce)
            return _product.batched(out, other), _product.batched(arg, other)
        return _product.batched(out, other), arg
    by_col: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)
    if other.requires_grad or (value is not None and value.requires_grad):
        by_col = _by_column(src, other.size(-2))
    weight = None if value is None else value.to(other.dtype).unsqueeze(1)
    t_ptr, t_row, t_edge = by_col
    if reduce == "sum" or reduce == "mean":
        out = torch.ops.graphkern.spmm(rowptr, col, None, t_ptr, t_row, t_edge, flat, weight, reduce)
        return _product.batched(out, other), col
    out, arg = torch.ops.graphkern.spmm_extremum(rowptr, col, t_ptr, t_row, t_edge, flat, weight, reduce, True)
    arg = arg.masked_fill(arg < 0, col.numel())
    return _product.batched(out, other), _product.batched(arg, other)


def _by_column(src: SparseTensor, num_cols: int) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """colptr [num_cols + 1]; rows and positions [E] of the entries by column."""
    storage = src.storage
    order, num_edges = storage.csr2csc(), src.nnz()
    colptr = resized(storage.colptr(), num_cols + 1, num_edges)
    row = storage.row()[order]
    if not row.is_cuda:
        check_pointers(colptr, "colptr", num_edges)
        check_range(row, "row", src.sparse_size(0))
        check_range(order, "csr2csc", num_edges)
    return colptr, row, order


def spmm_sum(src: SparseTensor, other: Tensor) -> Tensor:
    if torch.jit.is_scripting():
        return _scripted(src, other, "sum")[0]
    else:  # noqa: RET505  TorchScript compiles one branch only
        rowptr, col, value = src.csr()
        return _product.spmm_sum(None, rowptr, col, value, None, None, other)


def spmm_add(src: SparseTensor, other: Tensor) -> Tensor:
    return spmm_sum(src, other)


def spmm_mean(src: SparseTensor, other: Tensor) -> Tensor:
    if torch.jit.is_scripting():
        return _scripted(src, other, "mean")[0]
    else:  # noqa: RET505
        rowptr, col, value = src.csr()
        return _product.spmm_mean(None, rowptr, col, value, None, None, None, other)


def spmm_min(src: SparseTensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The minimum, and the entry that gave it; the number of entries in a row without any."""
    if torch.jit.is_scripting():
        return _scripted(src, other, "min")
    else:  # noqa: RET505
        rowptr, col, value = src.csr()
        return _product.spmm_min(rowptr, col, value, other)


def spmm_max(src: SparseTensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum, and the entry that gave it; the number of entries in a row without any."""
    if torch.jit.is_scripting():
        return _scripted(src, other, "max")
    else:  # noqa: RET505
        rowptr, col, value = src.csr()
        return _product.spmm_max(rowptr, col, value, other)


def spmm(src: SparseTensor, other: Tensor, reduce: str = "sum") -> Tensor:
    """[*, M, F]: for each row, reduce over its entries of the value times a row of other [*, N, F].

    reduce: sum, add, mean, min or max; a row without entries gives 0. Differentiable in the values and in other
    (see graphkern.spmm). The transpose that gradients need is built once for a matrix, whatever its values.
    """
    if reduce == "sum" or reduce == "add":
        return spmm_sum(src, other)
    if reduce == "mean":
        return spmm_mean(src, other)
    if reduce == "min":
        return spmm_min(src, other)[0]
    if reduce == "max":
        return spmm_max(src, other)[0]
    raise ValueError(f"reduce must be sum, add, mean, min or max but is {reduce}")


def spspmm_sum(src: SparseTensor, other: SparseTensor) -> SparseTensor:
    """The M x K product; it has values where one of the two has. Differentiable."""
    if src.sparse_size(1) != other.sparse_size(0):
        raise ValueError(f"a matrix of {src.sparse_sizes()} does not go with one of {other.sparse_sizes()}")
    value, other_value = src.storage.value(), other.storage.value()
    if value is None:
        value = torch.ones(src.nnz(), dtype=other.dtype(), device=src.device())
    if other_value is None:
        other_value = torch.ones(other.nnz(), dtype=value.dtype, device=src.device())
    if value.dim() > 1 or other_value.dim() > 1:
        raise ValueError("the entries of both matrices must be scalars")
    has_value = src.has_value() or other.has_value()
    dtype = value.dtype
    if not value.is_floating_point():
        out = _spspmm_by_entries(src, value, other, other_value)
        return out if has_value else out.set_value(None)
    if dtype == torch.half or dtype == torch.bfloat16:
        value = value.float()
    for matrix in (src, other):  # torch does not look at them
        row, col, _ = matrix.coo()
        check_range(row, "row", matrix.sparse_size(0))
        check_range(col, "col", matrix.sparse_size(1))
    left = src.set_value(value, "coo").to_torch_sparse_coo_tensor()
    right = other.set_value(other_value.to(value.dtype), "coo").to_torch_sparse_coo_tensor()
    both = torch.sparse.mm(left, right).coalesce()
    index = both.indices()
    return SparseTensor(
        row=index[0],
        col=index[1],
        value=both.values().to(dtype) if has_value else None,
        sparse_sizes=(src.sparse_size(0), other.sparse_size(1)),
        is_sorted=True,
        trust_data=True,
    )


def _spspmm_by_entries(src: SparseTensor, value: Tensor, other: SparseTensor, other_value: Tensor) -> SparseTensor:
    """Every product of two entries, then what meets added up: exact for integers."""
    row, col, _ = src.coo()
    count = other.storage.rowcount()[col]
    begin = other.storage.rowptr()[col] - (torch.cumsum(count, 0) - count)
    num_products = int(count.sum())
    left = repeated(count, num_products)
    right = begin[left] + torch.arange(num_products, device=col.device)
    out = SparseTensor(
        row=row[left],
        col=other.storage.col()[right],
        value=value[left] * other_value[right].to(value.dtype),
        sparse_sizes=(src.sparse_size(0), other.sparse_size(1)),
        trust_data=True,
    )
    return out.coalesce("sum")


def spspmm_add(src: SparseTensor, other: SparseTensor) -> SparseTensor:
    return spspmm_sum(src, other)


def spspmm(src: SparseTensor, other: SparseTensor, reduce: str = "sum") -> SparseTensor:
    """The product of two sparse matrices; only sum (add) is there."""
    if reduce == "sum" or reduce == "add":
        return spspmm_sum(src, other)
    if reduce == "mean" or reduce == "min" or reduce == "max":
        raise NotImplementedError(f"no product of sparse matrices by {reduce}")
    raise ValueError(f"reduce must be sum or add but is {reduce}")


@torch.jit._overload
def matmul(src: SparseTensor, other: Tensor, reduce: str) -> Tensor:
    pass


@torch.jit._overload  # type: ignore[no-redef]
def matmul(src: SparseTensor, other: SparseTensor, reduce: str) -> SparseTensor:
    pass


def matmul(src, other, reduce="sum"):  # type: ignore[no-redef]
    """src @ other: spmm where other is a Tensor, spspmm where it is a SparseTensor."""
    if isinstance(other, Tensor):
        return spmm(src, other, reduce)
    if isinstance(other, SparseTensor):
        return spspmm(src, other, reduce)
    raise ValueError("other must be a Tensor or a SparseTensor")
