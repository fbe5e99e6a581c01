"""pyg_lib.ops: products of segments and groups, fused indexing and arithmetic, softmax and sorting.

TorchScript sees calls of the operators ``torch.ops.pyg.*``, which must be registered when it compiles.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.compat.pyg_lib import _dense


def segment_matmul(inputs: Tensor, ptr: Tensor, other: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply each segment of rows with its own matrix: ``segment_matmul(x, tensor([0, 5, 8]), weight)``.

    out[i] = inputs[i] @ other[b] + bias[b] for i from ptr[b] to ptr[b + 1]

    Args:
        inputs: [N, K] float32, float64, float16 or bfloat16.
        ptr: [B + 1] int32 or int64, never decreases, from 0 to N; on any device.
        other: [B, K, M], dtype of inputs. bias: [B, M].
    Returns: [N, M].
    Raises: TypeError for a dtype; ValueError for a shape, or a ptr that decreases or does not run from 0 to N.
    Cost: that of graphkern.segment_matmul; with bias N M values more. Differentiable twice.
    """
    if torch.jit.is_scripting():
        out = torch.ops.pyg.segment_matmul(inputs, ptr, other)
        if bias is not None:
            out = out + bias.repeat_interleave(ptr[1:] - ptr[:-1], dim=0)
        return out
    else:  # noqa: RET505 - TorchScript compiles what follows a return
        return _dense.segment_matmul(inputs, ptr, other, bias)


def grouped_matmul(inputs: list[Tensor], others: list[Tensor], biases: list[Tensor] | None = None) -> list[Tensor]:
    """Multiply matrices pair by pair: ``outs[i] = inputs[i] @ others[i] + biases[i]``.

    Args:
        inputs: [N_i, K_i] each. others: [K_i, M_i] each, as many. biases: [M_i] each.
    Returns: a list of [N_i, M_i].
    Raises: TypeError for a dtype; ValueError for a shape or lists of different lengths.
    """
    if torch.jit.is_scripting():
        outs = torch.ops.pyg.grouped_matmul(inputs, others)
        if biases is not None:
            outs = [out + bias for out, bias in zip(outs, biases)]  # noqa: B905 - TorchScript knows no strict
        return outs
    else:  # noqa: RET505
        return _dense.grouped_matmul(inputs, others, biases)


def softmax_csr(src: Tensor, ptr: Tensor, dim: int = 0) -> Tensor:
    """Softmax over consecutive groups along an axis: ``softmax_csr(score, rowptr)`` for scores in CSR order.

    Args:
        src: at least one axis, L entries along dim; float32, float64, float16 or bfloat16.
        ptr: [G + 1] int32 or int64, never decreases, from 0 to L. dim: the axis, negative from the end.
    Returns: shape and dtype of src.
    Raises: TypeError for a dtype; ValueError for a shape, dim, or values of ptr (read when it first comes).
    Cost: that of graphkern.edge_softmax, and two copies where dim is not the first axis. Differentiable twice.
    """
    if torch.jit.is_scripting():
        return torch.ops.pyg.softmax_csr(src, ptr, dim)
    else:  # noqa: RET505
        return _dense.softmax_csr(src, ptr, dim)


def index_sort(inputs: Tensor, max_value: int | None = None) -> tuple[Tensor, Tensor]:
    """Sort integers, equal ones in the order given: ``values, permutation = index_sort(edge_type)``.

    Args:
        inputs: [N] integers.
        max_value: what the caller takes for the largest; results do not depend on it.
    Returns: [N] sorted values and [N] int64 positions in inputs.
    Raises: RuntimeError unless inputs is 1-D; TypeError for floating inputs.
    Cost: torch.sort, which sorts integers by their digits on the CPU.
    """
    if torch.jit.is_scripting():
        return torch.ops.pyg.index_sort(inputs, max_value)
    else:  # noqa: RET505
        return _dense.index_sort(inputs, max_value)


def sampled_add(
    left: Tensor, right: Tensor, left_index: Tensor | None = None, right_index: Tensor | None = None
) -> Tensor:
    """left[left_index] + right[right_index]; without an index all rows, in order.

    Args:
        left: [N, F]. right: [M, F], same dtype.
        left_index, right_index: [E] int32 or int64 each.
    Returns: [E, F].
    Raises: TypeError for a dtype; ValueError for a shape or an index out of range.
    Differentiable, with gradients that do not depend on the number of threads.
    """
    if torch.jit.is_scripting():
        return torch.ops.pyg.sampled_op(left, right, left_index, right_index, "add")
    else:  # noqa: RET505
        return _dense.sampled_op(left, right, left_index, right_index, "add")


def sampled_sub(
    left: Tensor, right: Tensor, left_index: Tensor | None = None, right_index: Tensor | None = None
) -> Tensor:
    """left[left_index] - right[right_index]; see sampled_add."""
    if torch.jit.is_scripting():
        return torch.ops.pyg.sampled_op(left, right, left_index, right_index, "sub")
    else:  # noqa: RET505
        return _dense.sampled_op(left, right, left_index, right_index, "sub")


def sampled_mul(
    left: Tensor, right: Tensor, left_index: Tensor | None = None, right_index: Tensor | None = None
) -> Tensor:
    """left[left_index] * right[right_index]; see sampled_add."""
    if torch.jit.is_scripting():
        return torch.ops.pyg.sampled_op(left, right, left_index, right_index, "mul")
    else:  # noqa: RET505
        return _dense.sampled_op(left, right, left_index, right_index, "mul")


def sampled_div(
    left: Tensor, right: Tensor, left_index: Tensor | None = None, right_index: Tensor | None = None
) -> Tensor:
    """left[left_index] / right[right_index]; see sampled_add."""
    if torch.jit.is_scripting():
        return torch.ops.pyg.sampled_op(left, right, left_index, right_index, "div")
    else:  # noqa: RET505
        return _dense.sampled_op(left, right, left_index, right_index, "div")


__all__ = [
    "grouped_matmul",
    "index_sort",
    "sampled_add",
    "sampled_div",
    "sampled_mul",
    "sampled_sub",
    "segment_matmul",
    "softmax_csr",
]
