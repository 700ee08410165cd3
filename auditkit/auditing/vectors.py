"""Embeddings as memory-mapped scratch files: made once a run, whatever the number of searches."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from auditkit.auditing.progress import Stage
from auditkit.files import replacing
from auditkit.scoring.base import Embedder, Vectors

BLOCK = 4096


def stored_vectors(
    path: Path, count: int, batches: Iterable[list[str]], embedder: Embedder, stage: Stage | None = None
) -> Vectors:
    """(count, d) vectors of all texts in ``batches``, from ``path`` where an earlier process left them."""
    if not path.exists():
        _embed_into(path, count, batches, embedder, stage)
    vectors: Vectors = np.load(path, mmap_mode="r")
    return vectors


def in_batches(texts: list[str]) -> Iterable[list[str]]:
    """A list of texts, a block at a time."""
    return (texts[start : start + BLOCK] for start in range(0, len(texts), BLOCK))


def _embed_into(path: Path, count: int, batches: Iterable[list[str]], embedder: Embedder, stage: Stage | None) -> None:
    remaining = iter(batches)
    first = embedder.embed(next(remaining, [""]))[:count]
    with replacing(path) as temporary:
        shape = (count, first.shape[1])
        if count == 0:
            with temporary.open("wb") as stream:  # an empty array cannot be mapped for writing
                np.save(stream, np.zeros(shape, np.float32))
            return
        stored = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        _reserve(temporary)
        done = 0
        for block in chain([first], map(embedder.embed, remaining)):
            stored[done : done + len(block)] = block
            done += len(block)
            if stage:
                stage.advance(len(block))
        stored.flush()


def _reserve(path: Path) -> None:
    """Take the disk space now: on a full disk, writing to a mapped hole kills the process (SIGBUS)."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
