"""Text embeddings from a BERT-like encoder, kept on disk between runs."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_FORMAT = 1  # changes when equal settings would give other vectors
_READ_BYTES = 1 << 20


class TextConfig(BaseModel):
    """Which encoder turns texts into vectors.

    model: a local folder or a hub name that transformers.AutoModel loads.
    pooling: mean over the tokens, or the first token's vector.
    max_length: tokens; longer texts are cut.
    cache: folder for the vectors; None keeps nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    pooling: Literal["mean", "cls"] = "mean"
    max_length: int = Field(default=128, ge=1)
    batch_size: int = Field(default=64, ge=1)
    cache: Path | None = None


class TextEncoder:
    """Encodes texts with any transformers encoder; what was encoded once is read from the cache.

    The model is loaded at the first text that is not in the cache.
    """

    def __init__(self, config: TextConfig) -> None:
        self.config = config

    def encode(self, texts: Sequence[str]) -> Tensor:
        """One vector a text, of length 1.

        Texts are batched by length, so that little is spent on padding. Equal texts are encoded once.

        Returns: float32 [N, D] on the CPU.
        Raises: ValueError for no texts; ImportError, naming the extra, without transformers; OSError if the model
            cannot be loaded.
        """
        if not texts:
            raise ValueError("no texts to encode")
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        known = self._read_cache()
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            fresh = self._encode(list(missing.values()))
            known |= dict(zip(missing, fresh, strict=True))
            self._write_cache(list(missing), fresh)
        return torch.from_numpy(np.stack([known[key] for key in keys]))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 in hex of all that a vector depends on besides its text: weights, tokenizer and settings."""
        settings = f"{_FORMAT} {self.config.pooling} {self.config.max_length}".encode()
        folder = Path(self.config.model)
        if folder.is_dir():
            files = sorted(
                path for path in folder.iterdir() if path.suffix in {".json", ".txt", ".safetensors", ".bin"}
            )
            return _digest([settings, *(part for path in files for part in (path.name.encode(), _file_digest(path)))])
        revision = getattr(self._model.config, "_commit_hash", None)
        if revision is None:
            raise OSError(f"the revision of {self.config.model} is unknown: name a local folder, or set cache to null")
        return _digest([settings, self.config.model.encode(), revision.encode()])

    @cached_property
    def _tokenizer(self) -> "PreTrainedTokenizerBase":
        return self._load("AutoTokenizer")

    @cached_property
    def _model(self) -> "PreTrainedModel":
        return self._load("AutoModel").eval()

    def _load(self, kind: str) -> Any:
        name, auto = self.config.model, getattr(_transformers(), kind)
        try:
            return auto.from_pretrained(name)
        except (OSError, ValueError) as error:
            where = "" if Path(name).is_dir() else ", which is not a folder here and was not found as a hub name"
            raise OSError(f"cannot load the text encoder {name}{where}: {error}") from error

    @torch.inference_mode()
    def _encode(self, texts: list[str]) -> np.ndarray:
        """float32 [N, D], in the order of texts."""
        from tqdm import tqdm

        model, tokenizer = self._model, self._tokenizer
        order = sorted(range(len(texts)), key=lambda position: len(texts[position]), reverse=True)
        rows: list[Tensor] = []
        size = self.config.batch_size
        batches = range(0, len(order), size)
        # disable=None: no bar where the output is not a terminal
        for start in tqdm(batches, desc="encoding texts", unit="batch", disable=None, leave=False):
            tokens = tokenizer(
                [texts[position] for position in order[start : start + size]],
                padding=True,
                truncation=True,
                max_length=self.config.max_length,
                return_tensors="pt",
            )
            rows.append(_pool(model(**tokens).last_hidden_state, tokens["attention_mask"], self.config.pooling))
        encoded = torch.cat(rows).numpy()
        result = np.empty_like(encoded)
        result[order] = encoded
        return result

    @property
    def _cache_folder(self) -> Path | None:
        return None if self.config.cache is None else self.config.cache / self.fingerprint[:16]

    def _read_cache(self) -> dict[bytes, np.ndarray]:
        """SHA-256 of a text -> its vector, from every file of the cache."""
        known: dict[bytes, np.ndarray] = {}
        if (folder := self._cache_folder) is not None:
            for path in sorted(folder.glob("*.npz")):
                with np.load(path) as part:
                    known |= {key.tobytes(): vector for key, vector in zip(part["keys"], part["vectors"], strict=True)}
        return known

    def _write_cache(self, keys: list[bytes], vectors: np.ndarray) -> None:
        """Add one file, whole or not at all, named by what it holds."""
        if (folder := self._cache_folder) is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
            np.savez(file, keys=np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1), vectors=vectors)
        Path(file.name).replace(folder / f"{_digest(keys)[:16]}.npz")


def _pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """hidden [B, T, D] and mask [B, T] -> [B, D] of length 1."""
    if pooling == "cls":
        return F.normalize(hidden[:, 0], dim=1)
    weight = mask.unsqueeze(2).to(hidden.dtype)
    return F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError("encoding texts needs transformers: pip install 'graphkern[text]'") from error
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _file_digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.digest()
