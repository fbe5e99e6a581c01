"""What the functions of ops do outside of TorchScript, and the operators for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphkern import ops
from graphkern._kept import kept_with
from graphkern.ops import _axis, _check
from graphkern.ops.edge_softmax import EDGE_SOFTMAX
from graphkern.ops.gather_index import GATHER_INDEX

_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
}


def segment_matmul(inputs: Tensor, ptr: Tensor, other: Tensor, bias: Tensor | None = None) -> Tensor:
    ptr = ptr.to(inputs.device)
    out = ops.segment_matmul(inputs, ptr, other)
    if bias is None:
        return out
    if bias.shape != (other.shape[0], other.shape[2]):
        raise ValueError(f"bias must be [{other.shape[0]}, {other.shape[2]}] but is {list(bias.shape)}")
    return out + ops.gather_csr(bias, ptr, output_size=inputs.shape[0])


def grouped_matmul(
    inputs: Sequence[Tensor], others: Sequence[Tensor], biases: Sequence[Tensor] | None = None
) -> list[Tensor]:
    if len(inputs) != len(others):
        raise ValueError(f"there are {len(inputs)} inputs but {len(others)} others")
    if biases is not None and len(biases) != len(inputs):
        raise ValueError(f"there are {len(inputs)} inputs but {len(biases)} biases")
    outs = []
    for i, (x, other) in enumerate(zip(inputs, others, strict=True)):
        if x.dim() != 2 or other.dim() != 2 or x.shape[1] != other.shape[0]:
            raise ValueError(f"inputs[{i}] is {list(x.shape)} but others[{i}] is {list(other.shape)}")
        if x.dtype != other.dtype:
            raise TypeError(f"inputs[{i}] is {x.dtype} but others[{i}] is {other.dtype}")
        if biases is None:
            outs.append(x @ other)
            continue
        if biases[i].shape != other.shape[1:]:
            raise ValueError(f"biases[{i}] must be [{other.shape[1]}] but is {list(biases[i].shape)}")
        outs.append(torch.addmm(biases[i], x, other))
    return outs


def softmax_csr(src: Tensor, ptr: Tensor, dim: int = 0) -> Tensor:
    _check.floating(src=src)
    dim = _axis.axis(src, dim)
    _axis.is_indptr(ptr, src)
    length = src.shape[dim]
    if not torch.compiler.is_compiling():
        kept_with((ptr,), ("pyg_lib.softmax_csr", length), lambda: _axis.indptr_values(ptr, length, whole=True))
    moved = src.movedim(dim, 0)
    out = EDGE_SOFTMAX(ptr, moved.reshape(length, moved[0].numel() if length else 1))
    return out.reshape(moved.shape).movedim(0, dim)


def index_sort(inputs: Tensor, max_value: int | None = None) -> tuple[Tensor, Tensor]:
    if inputs.dim() != 1:
        raise RuntimeError(f"inputs must be 1-D but is {list(inputs.shape)}")
    if inputs.is_floating_point() or inputs.is_complex():
        raise TypeError(f"inputs must be integers but is {inputs.dtype}")
    values, order = torch.sort(inputs, stable=True)
    return values, order


def sampled_op(left: Tensor, right: Tensor, left_index: Tensor | None, right_index: Tensor | None, op: str) -> Tensor:
    if op not in _OPERATIONS:
        raise ValueError(f"op must be one of {', '.join(_OPERATIONS)} but is {op!r}")
    if left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[1]:
        raise ValueError(f"left and right must be [N, F] and [M, F] but are {list(left.shape)}, {list(right.shape)}")
    if left.dtype != right.dtype:
        raise TypeError(f"left is {left.dtype} but right is {right.dtype}")
    if left.device != right.device:
        raise ValueError(f"left is on {left.device} but right is on {right.device}")
    left, right = _rows(left, left_index, "left_index"), _rows(right, right_index, "right_index")
    if left.shape != right.shape:
        raise ValueError(f"left gives {left.shape[0]} rows but right gives {right.shape[0]}")
    return _OPERATIONS[op](left, right)


def _rows(x: Tensor, index: Tensor | None, name: str) -> Tensor:
    """x[index]; its gradient is a scatter in a fixed order."""
    if index is None:
        return x
    _check.index(index, name, x.shape[0])
    if index.device != x.device:
        raise ValueError(f"{name} is on {index.device} but the values are on {x.device}")
    if x.dtype not in _check.FLOAT_DTYPES or index.numel() == 0:
        return x.index_select(0, index)
    return GATHER_INDEX(x[None], index[None, :, None])[0]
