"""SparseTensor: a sparse matrix whose entries may be scalars or tensors."""

from __future__ import annotations

from textwrap import indent
from typing import Any

import torch
from torch import Tensor
from torch._jit_internal import _drop as not_in_torchscript

from graphkern.compat.torch_sparse.storage import Sizes, SparseStorage, _DType

Device = torch.device
Entries = tuple[Tensor, Tensor, Tensor | None]  # rows or pointers, columns or rows, values


class SparseTensor:
    """An M x N sparse matrix with E entries, ordered by row and then by column; arguments as for SparseStorage.

    ``SparseTensor(row=row, col=col, sparse_sizes=(M, N)) @ x`` is the product with x [N, F].
    """

    storage: SparseStorage

    def __init__(
        self,
        row: Tensor | None = None,
        rowptr: Tensor | None = None,
        col: Tensor | None = None,
        value: Tensor | None = None,
        sparse_sizes: Sizes | None = None,
        is_sorted: bool = False,
        trust_data: bool = False,
    ) -> None:
        self.storage = SparseStorage(
            row, rowptr, col, value, sparse_sizes, None, None, None, None, None, is_sorted, trust_data
        )

    @classmethod
    def from_storage(cls, storage: SparseStorage) -> SparseTensor:
        out = SparseTensor(storage._row, storage._rowptr, storage._col, None, storage._sparse_sizes, True, True)
        out.storage = storage.copy()
        return out

    @classmethod
    def from_edge_index(
        cls,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        sparse_sizes: Sizes | None = None,
        is_sorted: bool = False,
        trust_data: bool = False,
    ) -> SparseTensor:
        """edge_index: [2, E], rows and then columns."""
        return SparseTensor(edge_index[0], None, edge_index[1], edge_attr, sparse_sizes, is_sorted, trust_data)

    @classmethod
    def from_dense(cls, mat: Tensor, has_value: bool = True) -> SparseTensor:
        """The entries of mat [M, N, *] that are not 0."""
        nonzero = mat if mat.dim() == 2 else (mat != 0).flatten(2).any(2)
        index = nonzero.nonzero().t()
        row, col = index[0], index[1]
        value = mat[row, col] if has_value else None
        return SparseTensor(row, None, col, value, (mat.size(0), mat.size(1)), True, True)

    @classmethod
    def from_torch_sparse_coo_tensor(cls, mat: Tensor, has_value: bool = True) -> SparseTensor:
        mat = mat.coalesce()
        index = mat.indices()
        value = mat.values() if has_value else None
        return SparseTensor(index[0], None, index[1], value, (mat.size(0), mat.size(1)), True, True)

    @classmethod
    def from_torch_sparse_csr_tensor(cls, mat: Tensor, has_value: bool = True) -> SparseTensor:
        value = mat.values() if has_value else None
        sizes = (mat.size(0), mat.size(1))
        return SparseTensor(None, mat.crow_indices(), mat.col_indices(), value, sizes, True, True)

    @classmethod
    def eye(
        cls,
        M: int,  # noqa: N803
        N: int | None = None,  # noqa: N803
        has_value: bool = True,
        dtype: _DType | None = None,
        device: Device | None = None,
        fill_cache: bool = False,
    ) -> SparseTensor:
        """M x N with ones on the diagonal; N is M by default."""
        num_cols = M if N is None else N
        index = torch.arange(min(M, num_cols), device=device)
        rowptr = torch.arange(M + 1, device=device).clamp(max=num_cols)
        value = torch.ones(index.numel(), dtype=dtype, device=device) if has_value else None
        out = SparseTensor(index, rowptr, index, value, (M, num_cols), True, True)
        if fill_cache:
            out.storage.fill_cache_()
        return out

    def copy(self) -> SparseTensor:
        return self.from_storage(self.storage)

    def type(self, dtype: _DType, non_blocking: bool = False) -> SparseTensor:
        """The values in another dtype; self where there are none."""
        value = self.storage.value()
        if value is None or dtype == value.dtype:
            return self
        return self.from_storage(self.storage.type(dtype, non_blocking))

    def type_as(self, tensor: Tensor, non_blocking: bool = False) -> SparseTensor:
        return self.type(tensor.dtype, non_blocking)

    def coo(self) -> Entries:
        return self.storage.row(), self.storage.col(), self.storage.value()

    def csr(self) -> Entries:
        return self.storage.rowptr(), self.storage.col(), self.storage.value()

    def csc(self) -> Entries:
        order, value = self.storage.csr2csc(), self.storage.value()
        return self.storage.colptr(), self.storage.row()[order], None if value is None else value[order]

    def has_value(self) -> bool:
        return self.storage.has_value()

    def set_value_(self, value: Tensor | None, layout: str | None = None) -> SparseTensor:
        self.storage.set_value_(value, layout)
        return self

    def set_value(self, value: Tensor | None, layout: str | None = None) -> SparseTensor:
        """value: [E, *]; layout: "coo" or "csr" where it is in the order by row, "csc" in that by column."""
        return self.from_storage(self.storage.set_value(value, layout))

    def sparse_sizes(self) -> tuple[int, int]:
        return self.storage.sparse_sizes()

    def sparse_size(self, dim: int) -> int:
        return self.storage.sparse_sizes()[dim]

    def sparse_resize(self, sparse_sizes: tuple[int, int]) -> SparseTensor:
        return self.from_storage(self.storage.sparse_resize(sparse_sizes))

    def sparse_reshape(self, num_rows: int, num_cols: int) -> SparseTensor:
        return self.from_storage(self.storage.sparse_reshape(num_rows, num_cols))

    def is_coalesced(self) -> bool:
        return self.storage.is_coalesced()

    def coalesce(self, reduce: str = "sum") -> SparseTensor:
        return self.from_storage(self.storage.coalesce(reduce))

    def fill_cache_(self) -> SparseTensor:
        self.storage.fill_cache_()
        return self

    def clear_cache_(self) -> SparseTensor:
        self.storage.clear_cache_()
        return self

    def fill_value_(self, fill_value: float, dtype: _DType | None = None) -> SparseTensor:
        value = torch.full([self.nnz()], fill_value, dtype=dtype, device=self.device())
        return self.set_value_(value, layout="coo")

    def fill_value(self, fill_value: float, dtype: _DType | None = None) -> SparseTensor:
        value = torch.full([self.nnz()], fill_value, dtype=dtype, device=self.device())
        return self.set_value(value, layout="coo")

    def sizes(self) -> list[int]:
        value = self.storage.value()
        sizes = list(self.sparse_sizes())
        return sizes if value is None else sizes + list(value.size())[1:]

    def size(self, dim: int) -> int:
        return self.sizes()[dim]

    def dim(self) -> int:
        return len(self.sizes())

    def nnz(self) -> int:
        return self.storage.col().numel()

    def numel(self) -> int:
        value = self.storage.value()
        return self.nnz() if value is None else value.numel()

    def density(self) -> float:
        places = self.sparse_size(0) * self.sparse_size(1)
        return 0.0 if places == 0 else self.nnz() / places

    def sparsity(self) -> float:
        return 1 - self.density()

    def avg_row_length(self) -> float:
        return self.nnz() / self.sparse_size(0)

    def avg_col_length(self) -> float:
        return self.nnz() / self.sparse_size(1)

    def bandwidth(self) -> int:
        """The largest |row - column| of an entry."""
        row, col, _ = self.coo()
        return int((row - col).abs().max())

    def avg_bandwidth(self) -> float:
        row, col, _ = self.coo()
        return float((row - col).abs().float().mean())

    def bandwidth_proportion(self, bandwidth: int) -> float:
        """The share of entries with |row - column| <= bandwidth."""
        row, col, _ = self.coo()
        return int(((row - col).abs() <= bandwidth).sum()) / self.nnz()

    def is_quadratic(self) -> bool:
        return self.sparse_size(0) == self.sparse_size(1)

    def is_symmetric(self) -> bool:
        """Equal to its transpose, entry by entry."""
        if not self.is_quadratic():
            return False
        rowptr, col, value = self.csr()
        colptr, row, t_value = self.csc()
        if not torch.equal(rowptr, colptr) or not torch.equal(col, row):
            return False
        return value is None or t_value is None or torch.equal(value, t_value)

    def to_symmetric(self, reduce: str = "sum") -> SparseTensor:
        """Each entry at its place and at the transposed one; what meets is reduced."""
        size = max(self.size(0), self.size(1))
        row, col, value = self.coo()
        both = None if value is None else torch.cat([value, value])
        out = SparseTensor(torch.cat([row, col]), None, torch.cat([col, row]), both, (size, size), False, True)
        return out.coalesce(reduce)

    def detach_(self) -> SparseTensor:
        value = self.storage.value()
        if value is not None:
            value.detach_()
        return self

    def detach(self) -> SparseTensor:
        value = self.storage.value()
        return self.set_value(None if value is None else value.detach(), layout="coo")

    def requires_grad(self) -> bool:
        value = self.storage.value()
        return False if value is None else value.requires_grad

    def requires_grad_(self, requires_grad: bool = True, dtype: _DType | None = None) -> SparseTensor:
        """Whether values take a gradient; where there are none they become ones."""
        if requires_grad and not self.has_value():
            self.fill_value_(1.0, dtype)
        value = self.storage.value()
        if value is not None:
            value.requires_grad_(requires_grad)
        return self

    def device(self) -> Device:
        return self.storage.col().device

    def is_cuda(self) -> bool:
        return self.storage.col().is_cuda

    def dtype(self) -> _DType:
        value = self.storage.value()
        return torch.float if value is None else value.dtype

    def is_floating_point(self) -> bool:
        value = self.storage.value()
        return True if value is None else torch.is_floating_point(value)

    def _value_or_ones(self, dtype: _DType | None) -> Tensor:
        value = self.storage.value()
        return torch.ones(self.nnz(), dtype=dtype, device=self.device()) if value is None else value

    def to_dense(self, dtype: _DType | None = None) -> Tensor:
        """[M, N, *]. dtype: that of the ones where there are no values."""
        value = self._value_or_ones(dtype)
        out = torch.zeros(self.sizes(), dtype=value.dtype, device=self.device())
        out[self.storage.row(), self.storage.col()] = value
        return out

    def to_torch_sparse_coo_tensor(self, dtype: _DType | None = None) -> Tensor:
        index = torch.stack([self.storage.row(), self.storage.col()])
        return torch.sparse_coo_tensor(index, self._value_or_ones(dtype), self.sizes())

    def to_torch_sparse_csr_tensor(self, dtype: _DType | None = None) -> Tensor:
        rowptr, col, _ = self.csr()
        return torch.sparse_csr_tensor(rowptr, col, self._value_or_ones(dtype), self.sizes())

    def to_torch_sparse_csc_tensor(self, dtype: _DType | None = None) -> Tensor:
        order = self.storage.csr2csc()
        value = self._value_or_ones(dtype)[order]
        return torch.sparse_csc_tensor(self.storage.colptr(), self.storage.row()[order], value, self.sizes())

    @not_in_torchscript
    def to_device(self, device: torch.device | str, non_blocking: bool = False) -> SparseTensor:
        if torch.device(device) == self.device():
            return self
        return self.from_storage(self.storage.to_device(device, non_blocking))

    @not_in_torchscript
    def device_as(self, tensor: Tensor, non_blocking: bool = False) -> SparseTensor:
        return self.to_device(tensor.device, non_blocking)

    @not_in_torchscript
    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """Another device, another dtype of the values, or both, as Tensor.to takes them."""
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        out = self if dtype is None else self.type(dtype, non_blocking)
        return out if device is None else out.to_device(device, non_blocking)

    @not_in_torchscript
    def cpu(self) -> SparseTensor:
        return self.to_device("cpu")

    @not_in_torchscript
    def cuda(self, device: int | str | torch.device | None = None, non_blocking: bool = False) -> SparseTensor:
        return self.to_device(torch.empty(0, device="cuda" if device is None else device).device, non_blocking)

    @not_in_torchscript
    def clone(self) -> SparseTensor:
        return self.from_storage(self.storage.clone())

    @not_in_torchscript
    def pin_memory(self) -> SparseTensor:
        return self.from_storage(self.storage.pin_memory())

    @not_in_torchscript
    def is_pinned(self) -> bool:
        return self.storage.is_pinned()

    @not_in_torchscript
    def share_memory_(self) -> SparseTensor:
        self.storage.share_memory_()
        return self

    @not_in_torchscript
    def is_shared(self) -> bool:
        return self.storage.is_shared()

    @not_in_torchscript
    def __eq__(self, other: object) -> bool:
        """Same sizes, entries and values."""
        if not isinstance(other, SparseTensor) or self.sizes() != other.sizes():
            return False
        pairs = zip(self.csr(), other.csr(), strict=True)
        return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)

    @not_in_torchscript
    def __repr__(self) -> str:
        row, col, value = self.coo()
        parts = [("row", row), ("col", col)] + ([] if value is None else [("val", value)])
        lines = [f"{name}={indent(repr(tensor), ' ' * 6).lstrip()}" for name, tensor in parts]
        lines.append(f"size={tuple(self.sizes())}, nnz={self.nnz()}, density={100 * self.density():.02f}%")
        name = type(self).__name__
        return f"{name}({indent((',' + chr(10)).join(lines), ' ' * (len(name) + 1)).lstrip()})"
