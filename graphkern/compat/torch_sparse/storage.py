"""What a SparseTensor holds: the matrix by rows, and what was computed from it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch._jit_internal import _drop as not_in_torchscript

from graphkern.compat.torch_sparse._check import (
    check_index,
    check_pointers,
    check_range,
    check_sizes,
    check_value,
    resized,
    size_of,
)
from graphkern.compat.torch_sparse.utils import ascending, index_sort, ptr2ind, rowptr_of, segment

layouts = ["coo", "csr", "csc"]

if TYPE_CHECKING:
    _DType = torch.dtype
else:
    _DType = int  # what TorchScript takes for a dtype
Sizes = tuple[int | None, int | None]


def get_layout(layout: str | None = None) -> str:
    if layout is None:
        layout = "coo"
        warnings.warn("`layout` is not given: taken for 'coo'", stacklevel=2)
    if layout != "coo" and layout != "csr" and layout != "csc":
        raise ValueError(f"layout must be coo, csr or csc but is {layout}")
    return layout


class SparseStorage:
    """An M x N sparse matrix with E entries, ordered by row and then by column, and its cache.

    Args:
        row: [E] int64. rowptr: [M + 1] int64. One of them may be None and is computed on need.
        col: [E] int64.
        value: [E, *] or None.
        sparse_sizes: (M, N); None is one more than the largest index.
        rowcount: [M]. colptr: [N + 1]. colcount: [N]. csr2csc, csc2csr: [E] permutations between the order by row and
            the order by column. All optional int64, computed on need.
        is_sorted: the entries are in order; else they are looked at, and sorted where they are not.
        trust_data: do not look at the values of row, rowptr, col, colptr, csr2csc and csc2csr.
    Raises: TypeError for an index that is not int64; ValueError for a wrong shape, device or value.
    Cost: reads row and col once to check their range and once to check their order; a copy where they are not sorted.
    """

    _row: Tensor | None
    _rowptr: Tensor | None
    _col: Tensor
    _value: Tensor | None
    _sparse_sizes: tuple[int, int]
    _rowcount: Tensor | None
    _colptr: Tensor | None
    _colcount: Tensor | None
    _csr2csc: Tensor | None
    _csc2csr: Tensor | None

    def __init__(
        self,
        row: Tensor | None = None,
        rowptr: Tensor | None = None,
        col: Tensor | None = None,
        value: Tensor | None = None,
        sparse_sizes: Sizes | None = None,
        rowcount: Tensor | None = None,
        colptr: Tensor | None = None,
        colcount: Tensor | None = None,
        csr2csc: Tensor | None = None,
        csc2csr: Tensor | None = None,
        is_sorted: bool = False,
        trust_data: bool = False,
    ) -> None:
        if col is None:
            raise ValueError("col is missing")
        if row is None and rowptr is None:
            raise ValueError("row and rowptr are both missing")
        num_edges = col.numel()
        check_index(col, "col", num_edges, col)
        given: Sizes = (None, None) if sparse_sizes is None else sparse_sizes
        num_rows, num_cols = size_of(given[0], rowptr, row), size_of(given[1], colptr, col)
        check_sizes(num_rows, num_cols)
        check_index(row, "row", num_edges, col)
        check_index(rowptr, "rowptr", num_rows + 1, col)
        check_index(rowcount, "rowcount", num_rows, col)
        check_index(colptr, "colptr", num_cols + 1, col)
        check_index(colcount, "colcount", num_cols, col)
        check_index(csr2csc, "csr2csc", num_edges, col)
        check_index(csc2csr, "csc2csr", num_edges, col)
        check_value(value, col)
        if not trust_data:
            check_range(col, "col", num_cols)
            check_range(row, "row", num_rows)
            check_pointers(rowptr, "rowptr", num_edges)
            check_pointers(colptr, "colptr", num_edges)
            check_range(csr2csc, "csr2csc", num_edges)
            check_range(csc2csr, "csc2csr", num_edges)
        self._row = None if row is None else row.contiguous()
        self._rowptr = None if rowptr is None else rowptr.contiguous()
        self._col = col.contiguous()
        self._value = None if value is None else value.contiguous()
        self._sparse_sizes = (num_rows, num_cols)
        self._rowcount = rowcount
        self._colptr = colptr
        self._colcount = colcount
        self._csr2csc = csr2csc
        self._csc2csr = csc2csr
        if not is_sorted:
            self._sort()

    def _sort(self) -> None:
        row, col, value = self.row(), self._col, self._value
        after, equal = ascending(row, col)
        if bool((after | equal).all()):
            return
        by_col = index_sort(col, self._sparse_sizes[1])[1]
        order = by_col[index_sort(row[by_col], self._sparse_sizes[0])[1]]
        self._row = row[order]
        self._col = col[order]
        if value is not None:
            self._value = value[order]
        self._csr2csc = None
        self._csc2csr = None

    @classmethod
    def empty(cls) -> SparseStorage:
        index = torch.empty(0, dtype=torch.long)
        return SparseStorage(index, None, index, None, (0, 0), None, None, None, None, None, True, True)

    def has_row(self) -> bool:
        return self._row is not None

    def row(self) -> Tensor:
        row = self._row
        if row is None:
            row = ptr2ind(self.rowptr(), self._col.numel())
            self._row = row
        return row

    def has_rowptr(self) -> bool:
        return self._rowptr is not None

    def rowptr(self) -> Tensor:
        rowptr, row = self._rowptr, self._row
        if rowptr is not None:
            return rowptr
        if row is None:
            raise ValueError("row and rowptr are both missing")
        rowptr = rowptr_of(row, self._sparse_sizes[0])
        self._rowptr = rowptr
        return rowptr

    def col(self) -> Tensor:
        return self._col

    def has_value(self) -> bool:
        return self._value is not None

    def value(self) -> Tensor | None:
        return self._value

    def _fitting(self, value: Tensor | None, layout: str | None) -> Tensor | None:
        """value in the order by row; layout: the order that it comes in."""
        if value is None:
            return None
        check_value(value, self._col)
        if get_layout(layout) == "csc":
            value = value[self.csc2csr()]
        return value.contiguous()

    def set_value_(self, value: Tensor | None, layout: str | None = None) -> SparseStorage:
        self._value = self._fitting(value, layout)
        return self

    def set_value(self, value: Tensor | None, layout: str | None = None) -> SparseStorage:
        out = self.copy()
        out._value = self._fitting(value, layout)
        return out

    def sparse_sizes(self) -> tuple[int, int]:
        return self._sparse_sizes

    def sparse_size(self, dim: int) -> int:
        return self._sparse_sizes[dim]

    def sparse_resize(self, sparse_sizes: tuple[int, int]) -> SparseStorage:
        """The same entries in a matrix of another size. Raises ValueError where an entry would lie outside."""
        num_rows, num_cols = sparse_sizes
        check_sizes(num_rows, num_cols)
        if num_rows < self._sparse_sizes[0]:
            check_range(self.row(), "row", num_rows)
        if num_cols < self._sparse_sizes[1]:
            check_range(self._col, "col", num_cols)
        out = self.copy()
        out._sparse_sizes = (num_rows, num_cols)
        num_edges = self._col.numel()
        out._rowptr = resized(self._rowptr, num_rows + 1, num_edges)
        out._rowcount = resized(self._rowcount, num_rows, 0)
        out._colptr = resized(self._colptr, num_cols + 1, num_edges)
        out._colcount = resized(self._colcount, num_cols, 0)
        return out

    def sparse_reshape(self, num_rows: int, num_cols: int) -> SparseStorage:
        """The entries in row-major order in a matrix of another shape; one of the two may be -1."""
        total = self._sparse_sizes[0] * self._sparse_sizes[1]
        if num_rows == -1 and num_cols > 0:
            num_rows = total // num_cols
        elif num_cols == -1 and num_rows > 0:
            num_cols = total // num_rows
        if num_rows <= 0 or num_cols <= 0 or num_rows * num_cols != total:
            raise ValueError(f"cannot reshape {self._sparse_sizes} to ({num_rows}, {num_cols})")
        place = self._sparse_sizes[1] * self.row() + self._col
        row, col, sizes = torch.div(place, num_cols, rounding_mode="floor"), place % num_cols, (num_rows, num_cols)
        return SparseStorage(row, None, col, self._value, sizes, None, None, None, None, None, True, True)

    def has_rowcount(self) -> bool:
        return self._rowcount is not None

    def rowcount(self) -> Tensor:
        rowcount = self._rowcount
        if rowcount is None:
            rowptr = self.rowptr()
            rowcount = rowptr[1:] - rowptr[:-1]
            self._rowcount = rowcount
        return rowcount

    def has_colptr(self) -> bool:
        return self._colptr is not None

    def colptr(self) -> Tensor:
        colptr = self._colptr
        if colptr is None:
            colptr = torch.cat([self._col.new_zeros(1), torch.cumsum(self.colcount(), 0)])
            self._colptr = colptr
        return colptr

    def has_colcount(self) -> bool:
        return self._colcount is not None

    def colcount(self) -> Tensor:
        colcount, colptr = self._colcount, self._colptr
        if colcount is None:
            if colptr is not None:
                colcount = colptr[1:] - colptr[:-1]
            else:
                colcount = torch.bincount(self._col, minlength=self._sparse_sizes[1])
            self._colcount = colcount
        return colcount

    def has_csr2csc(self) -> bool:
        return self._csr2csc is not None

    def csr2csc(self) -> Tensor:
        csr2csc = self._csr2csc
        if csr2csc is None:
            csr2csc = index_sort(self._col, self._sparse_sizes[1])[1]
            self._csr2csc = csr2csc
        return csr2csc

    def has_csc2csr(self) -> bool:
        return self._csc2csr is not None

    def csc2csr(self) -> Tensor:
        csc2csr = self._csc2csr
        if csc2csr is None:
            csr2csc = self.csr2csc()
            csc2csr = torch.empty_like(csr2csc)
            csc2csr[csr2csc] = torch.arange(csr2csc.numel(), device=csr2csc.device)
            self._csc2csr = csc2csr
        return csc2csr

    def is_coalesced(self) -> bool:
        """Entries are in order, and none has the place of another."""
        return bool(ascending(self.row(), self._col)[0].all())

    def coalesce(self, reduce: str = "add") -> SparseStorage:
        """One entry for each place: its values are reduced by sum, add, mean, min or max."""
        row, col, value = self.row(), self._col, self._value
        if col.numel() == 0:
            return self
        first = torch.cat([torch.ones(1, dtype=torch.bool, device=col.device), ascending(row, col)[0]])
        if bool(first.all()):
            return self
        if value is not None:
            ptr = torch.cat([first.nonzero().view(-1), torch.full_like(col[:1], col.numel())])
            value = segment(value, ptr, reduce)
        sizes = self._sparse_sizes
        return SparseStorage(row[first], None, col[first], value, sizes, None, None, None, None, None, True, True)

    def fill_cache_(self) -> SparseStorage:
        self.row()
        self.rowptr()
        self.rowcount()
        self.colptr()
        self.colcount()
        self.csr2csc()
        self.csc2csr()
        return self

    def clear_cache_(self) -> SparseStorage:
        self._rowcount = None
        self._colptr = None
        self._colcount = None
        self._csr2csc = None
        self._csc2csr = None
        return self

    def cached_keys(self) -> list[str]:
        keys: list[str] = []
        if self._rowcount is not None:
            keys.append("rowcount")
        if self._colptr is not None:
            keys.append("colptr")
        if self._colcount is not None:
            keys.append("colcount")
        if self._csr2csc is not None:
            keys.append("csr2csc")
        if self._csc2csr is not None:
            keys.append("csc2csr")
        return keys

    def num_cached_keys(self) -> int:
        return len(self.cached_keys())

    def copy(self) -> SparseStorage:
        return SparseStorage(
            self._row, self._rowptr, self._col, self._value, self._sparse_sizes, self._rowcount, self._colptr,
            self._colcount, self._csr2csc, self._csc2csr, True, True,
        )  # fmt: skip

    def type(self, dtype: _DType, non_blocking: bool = False) -> SparseStorage:
        value = self._value
        if value is None or value.dtype == dtype:
            return self
        return self.set_value(value.to(dtype=dtype, non_blocking=non_blocking), layout="coo")

    def type_as(self, tensor: Tensor, non_blocking: bool = False) -> SparseStorage:
        return self.type(tensor.dtype, non_blocking)

    @not_in_torchscript
    def _tensors(self) -> list[Tensor]:
        return [tensor for tensor in map(self.__dict__.get, _TENSORS) if tensor is not None]

    @not_in_torchscript
    def _map(self, function: Callable) -> SparseStorage:
        out = self.copy()
        for name in _TENSORS:
            tensor = getattr(self, name)
            if tensor is not None:
                setattr(out, name, function(tensor))
        return out

    @not_in_torchscript
    def clone(self) -> SparseStorage:
        return self._map(torch.clone)

    @not_in_torchscript
    def to_device(self, device: torch.device | str, non_blocking: bool = False) -> SparseStorage:
        if torch.device(device) == self._col.device:
            return self
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    @not_in_torchscript
    def device_as(self, tensor: Tensor, non_blocking: bool = False) -> SparseStorage:
        return self.to_device(tensor.device, non_blocking)

    @not_in_torchscript
    def cuda(self) -> SparseStorage:
        return self if self._col.is_cuda else self._map(Tensor.cuda)

    @not_in_torchscript
    def pin_memory(self) -> SparseStorage:
        return self._map(Tensor.pin_memory)

    @not_in_torchscript
    def is_pinned(self) -> bool:
        return all(tensor.is_pinned() for tensor in self._tensors())

    @not_in_torchscript
    def share_memory_(self) -> SparseStorage:
        for tensor in self._tensors():
            tensor.share_memory_()
        return self

    @not_in_torchscript
    def is_shared(self) -> bool:
        return all(tensor.is_shared() for tensor in self._tensors())


_TENSORS = ("_row", "_rowptr", "_col", "_value", "_rowcount", "_colptr", "_colcount", "_csr2csc", "_csc2csr")
