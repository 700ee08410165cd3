"""The default embedder: WordLlama's static token vectors, offline, small and fast."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from auditkit.scoring.base import Embedder, Vectors

BATCH = 256


class DefaultEmbedder(Embedder):
    """The mean of WordLlama's 256-number token vectors [github.com/dleemiller/WordLlama]. Needs no network.

    It reads vocabulary, not order: every threshold for it is calibrated.
    """

    kind: Literal["default"]

    @property
    def digest(self) -> str:
        return _digest()

    def embed(self, texts: Sequence[str]) -> Vectors:
        model = _model()
        found = np.zeros((len(texts), model.embedding.shape[1]), np.float32)
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            for offset, encoded in enumerate(_encode(model.tokenizer, batch)):
                found[start + offset] = _unit_mean(model.embedding, encoded.ids)
        return found


def _encode(tokenizer: Any, batch: list[str]) -> Any:
    """The batch's tokens. Without places in the text, which nobody asks for, it takes a quarter less time."""
    encode = getattr(tokenizer, "encode_batch_fast", None) or tokenizer.encode_batch  # since tokenizers 0.20
    return encode(batch, add_special_tokens=False)


def _unit_mean(table: Vectors, ids: list[int]) -> Vectors:
    """The unit vector along the mean of these rows, zero where there are none: each text by itself, unpadded.

    Summed in float64, so that neither batch nor padding can move a bit.
    """
    total = table[np.minimum(ids, len(table) - 1)].sum(axis=0, dtype=np.float64) if ids else np.zeros(table.shape[1])
    norm = np.sqrt(np.sum(total * total))
    unit: Vectors = (total / norm if norm > 0 else total).astype(np.float32)
    return unit


@cache
def _model() -> Any:
    """WordLlama with the weights and the tokenizer of the installed package, and nothing downloaded."""
    with _quiet_logging():
        import wordllama
        from wordllama import WordLlama

        # Its loader looks for the tokenizer in the cache folder's own tokenizers/, not in the package's.
        model = WordLlama.load(cache_dir=_package_folder(wordllama), disable_download=True)
    model.tokenizer.no_padding()
    model.tokenizer.no_truncation()
    return model


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """WordLlama configures the root logger when it is imported; the program's own configuration is put back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@cache
def _digest() -> str:
    """The package's weights and tokenizer by their bytes, the dimension, and this pooling's version."""
    import wordllama

    digest = hashlib.sha256(b"default/mean-pooled/1/256")
    folder = _package_folder(wordllama)
    for file in sorted([*folder.glob("weights/*.safetensors"), *folder.glob("tokenizers/*.json")]):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return f"wordllama-{version('wordllama')}-{digest.hexdigest()}"


def _package_folder(package: Any) -> Path:
    return Path(package.__file__).parent
