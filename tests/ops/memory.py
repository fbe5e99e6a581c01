"""Peak memory of one call."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def peak_extra_bytes(call: Callable[[], Any], device: str) -> tuple[Any, int]:
    """The result, and how far memory rose above its level before the call (after one warm-up call)."""
    call()
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        out = call()
        return out, torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to the present size
    before = _status("VmRSS")
    out = call()
    return out, _status("VmHWM") - before


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
