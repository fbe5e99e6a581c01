"""Checks that the public functions share. ValueError for shape and range, TypeError for dtype."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.csr import CSR, INDEX_DTYPES, check_range

FLOAT_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
REDUCES = ("sum", "mean", "max", "min")


def reduce_name(reduce: str) -> None:
    if reduce not in REDUCES:
        raise ValueError(f"reduce must be one of {', '.join(REDUCES)} but is {reduce!r}")


def needs_gradient(*tensors: Tensor | None) -> bool:
    if torch.is_grad_enabled():
        for tensor in tensors:  # a loop, not any(): a call on a small graph would feel the generator
            if tensor is not None and tensor.requires_grad:
                return True
    return False


def is_csr(adj: object) -> None:
    if not isinstance(adj, CSR):
        raise TypeError(f"adj must be a graphkern.CSR but is {type(adj).__name__}")


def floating(**tensors: Tensor) -> None:
    """Each tensor has one of FLOAT_DTYPES, all the same, all on one device."""
    first: Tensor | None = None
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a Tensor but is {type(tensor).__name__}")
        if tensor.dtype not in FLOAT_DTYPES:
            raise TypeError(f"{name} must be float32, float64, float16 or bfloat16 but is {tensor.dtype}")
        if first is None:
            first = tensor
        elif tensor.dtype != first.dtype:
            raise TypeError(f"{name} is {tensor.dtype} but {next(iter(tensors))} is {first.dtype}")
        elif tensor.device != first.device:
            raise ValueError(f"{name} is on {tensor.device} but {next(iter(tensors))} is on {first.device}")


def same_device(adj: CSR, tensor: Tensor, name: str) -> None:
    if tensor.device != adj.device:
        raise ValueError(f"{name} is on {tensor.device} but adj is on {adj.device}")


def in_reach(adj: CSR, tensor: Tensor) -> bool:
    """Whether adj is where the tensor is, or in page-locked host memory and the tensor on a CUDA device: kernels that
    look up few edges read the graph there."""
    return tensor.device == adj.device or (tensor.device.type == "cuda" and adj.indices.is_pinned())


def index_dtype(tensor: Tensor, name: str) -> None:
    if not isinstance(tensor, Tensor) or tensor.dtype not in INDEX_DTYPES:
        got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be an int32 or int64 Tensor but is {got}")


def index(tensor: Tensor, name: str, size: int) -> None:
    """[n] int32 or int64, each in [0, size). Values are read on the CPU and in eager mode only: elsewhere a look costs
    a synchronisation, and the kernels guard themselves."""
    index_dtype(tensor, name)
    if tensor.dim() != 1:
        raise ValueError(f"{name} must be 1-D but is {list(tensor.shape)}")
    if not torch.compiler.is_compiling() and tensor.device.type == "cpu":
        check_range(tensor, size, name)
