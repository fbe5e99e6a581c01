"""Features that exceed a device, the rows that are asked for most often kept on it."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkern.ops import gather_rows
from graphkern.ops.gather_rows import is_within_reach


class CachedFeatures:
    """Rows of x with copies of the hot ones on a device: what loaders take in place of x.

    ``features[index]`` is x[index] on the device; ``NeighborLoader(adj, fanouts, x=features)`` gathers by it.

    Args:
        x: [N, ...], any dtype, on the device or on the host; it may be a memory-mapped file. For a CUDA device an x on
            the host is kept in page-locked memory, as a copy where it is not there yet, and the device reads its rows
            in place.
        num_hot: C, rows to keep.
        score: [N]; the C rows with the highest are kept, of equal ones the first. How often each node is asked for, or
            its degree; None keeps the first C, for nodes that are in such an order (``CSR.reorder("degree")``).
        device: of the copies; None is that of x, which pays where x is a file.
    Raises: TypeError or ValueError for a wrong type, shape or number.
    Cost: C rows and 4 N bytes on the device; an x with gaps is copied once. No gradient.
    """

    def __init__(
        self, x: Tensor, num_hot: int, score: Tensor | None = None, device: torch.device | str | None = None
    ) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a Tensor but is {type(x).__name__}")
        if x.dim() == 0:
            raise ValueError("x must have rows but is 0-D")
        if not 0 <= num_hot <= x.shape[0]:
            raise ValueError(f"num_hot must be in [0, {x.shape[0]}] but is {num_hot}")
        if score is not None and score.shape != x.shape[:1]:
            raise ValueError(f"score must be [{x.shape[0]}] but is {list(score.shape)}")
        device = x.device if device is None else torch.empty(0, device=device).device
        x = x.detach().contiguous()
        if x.device != device and not is_within_reach(x, device):
            if x.device.type != "cpu":
                raise ValueError(f"x is on {x.device}, where {device} does not read it")
            x = x.pin_memory()
        if score is None:
            rows = torch.arange(num_hot)
        else:
            rows = score.argsort(descending=True, stable=True)[:num_hot].sort().values
        self.device = device
        self._x = x
        self._hot = gather_rows(x, rows.to(x.device)).to(device)
        self._slot = torch.full(x.shape[:1], -1, dtype=torch.int32, device=device)
        self._slot[rows.to(device)] = torch.arange(num_hot, dtype=torch.int32, device=device)

    @property
    def shape(self) -> torch.Size:
        return self._x.shape

    @property
    def dtype(self) -> torch.dtype:
        return self._x.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor) -> Tensor:
        """Rows [n, ...] on the device; index: [n] int32 or int64, anywhere. Raises: as gather_rows."""
        return gather_rows(self._x, index.to(self.device), self._hot, self._slot)

    def hit_rate(self, index: Tensor) -> float:
        """The share of rows of index [n] that are hot; NaN for none. Waits for the device."""
        return float((self._slot[index.to(self.device).long()] >= 0).double().mean())
