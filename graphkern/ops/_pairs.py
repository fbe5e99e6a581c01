"""What bpr_loss and bce_loss check, and what they call."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern._op import Op
from graphkern.csr import check_range
from graphkern.ops import _check
from graphkern.ops._dtype import accumulate_dtype


def tables(user: Tensor, item: Tensor, sparse: bool) -> None:
    _check.floating(user=user, item=item)
    if user.dim() != 2 or item.dim() != 2 or user.shape[1] != item.shape[1]:
        raise ValueError(f"user must be [U, D] and item [I, D] but are {list(user.shape)} and {list(item.shape)}")
    if sparse and torch.compiler.is_compiling():
        raise NotImplementedError("sparse=True is for eager mode: torch.compile and torch.export trace dense gradients")


def index(user: Tensor, **index: Tensor) -> list[Tensor]:
    """Each [B] int32 or int64 on the device of user; returned in one dtype. Their values are the kernel's affair."""
    batch, dtypes = None, set()
    for name, tensor in index.items():
        _check.index_dtype(tensor, name)
        batch = tensor.shape[:1] if batch is None else batch
        if tensor.dim() != 1 or tensor.shape != batch or tensor.device != user.device:
            raise ValueError(
                f"{name} must be [{batch[0] if batch else 'B'}] on {user.device} but is {list(tensor.shape)} on"
                f" {tensor.device}"
            )
        dtypes.add(tensor.dtype)
    return list(index.values()) if len(dtypes) == 1 else [tensor.long() for tensor in index.values()]


def guarded(op: Op, args: tuple, user: Tensor, item: Tensor, **index: Tensor) -> Tensor:
    """The loss. The kernels refuse an index out of range; only then are its values read here, to say what is wrong."""
    if torch.compiler.is_compiling():
        return op(*args)[0]
    try:
        return op(*args)[0]
    except (RuntimeError, IndexError):
        for name, tensor in index.items():
            check_range(tensor, (user if name == "u" else item).shape[0], name)
        raise


def fake(user: Tensor, item, u: Tensor, i, fifth, sparse) -> tuple[Tensor, Tensor]:
    return user.new_empty(u.shape), user.new_empty(u.shape, dtype=accumulate_dtype(user.dtype))
