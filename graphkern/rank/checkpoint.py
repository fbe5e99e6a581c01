"""Training states on disk."""

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch

FORMAT_VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write state, tensors and plain values, to path; the file is replaced whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        part = Path(scratch, path.name)
        with part.open("wb") as file:
            torch.save({"format": FORMAT_VERSION} | state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any]:
    """Read what save_checkpoint wrote.

    Args:
        fingerprint: what the state's own "fingerprint" must be, so that nothing continues on other data or settings.
    Raises: FileNotFoundError; ValueError for another format version or fingerprint, or a file that is no checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is not a checkpoint: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT_VERSION:
        raise ValueError(f"{path} is not a checkpoint of format {FORMAT_VERSION}")
    if state["fingerprint"] != fingerprint:
        raise ValueError(f"{path} was made with other data or settings: remove it, or choose another output folder")
    return state
