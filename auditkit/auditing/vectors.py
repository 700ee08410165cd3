"""Embeddings as memory-mapped scratch files: made once a run, whatever the number of searches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from io import BufferedWriter
from itertools import chain
from pathlib import Path

import numpy as np

from auditkit.auditing.progress import Stage
from auditkit.errors import RunError
from auditkit.files import replacing
from auditkit.scoring.base import TextRefusedError, Vectors
from auditkit.scoring.embedders.embedding import TextEmbedding

BLOCK = 4096
MOST_REFUSED = 100  # of a stage, before it is given up
NAMED = 10


def stored_vectors(
    path: Path,
    count: int,
    batches: Iterable[list[str]],
    embedding: TextEmbedding,
    *,
    name: Callable[[int], str],
    stage: Stage | None = None,
) -> Vectors:
    """(count, d) vectors of all texts in ``batches``, from ``path`` where an earlier process left them.

    ``name`` says which text stands at a position, for the user who has to do something about it.

    Raises:
        RunError: the embedder refuses texts (all others are embedded first), is out of reach, or the disk is full.
    """
    if not path.exists():
        _embed_into(path, count, _embedded(batches, embedding, name), stage)
    vectors: Vectors = np.load(path, mmap_mode="r")
    return vectors


def in_batches(texts: list[str]) -> Iterable[list[str]]:
    """A list of texts, a block at a time."""
    return (texts[start : start + BLOCK] for start in range(0, len(texts), BLOCK))


def _embedded(batches: Iterable[list[str]], embedding: TextEmbedding, name: Callable[[int], str]) -> Iterator[Vectors]:
    """Each batch's vectors; at least one array, so that the width is known.

    A refused text stops the run, but only when all others are embedded: its vector would be one that nothing resembles.
    """
    refused: list[int] = []
    reason, done = "", 0
    for batch in embedding.ahead(_at_least_one(batches)):
        try:
            rows = embedding.embed(batch)
        except TextRefusedError as error:
            refused += [done + position for position in error.positions]
            reason, rows = error.reason, error.rows
        if len(refused) >= MOST_REFUSED:
            break
        done += len(batch)
        yield rows
    if refused:
        raise _refusal(embedding.embedder.kind, list(map(name, refused)), reason)


def _at_least_one(batches: Iterable[list[str]]) -> Iterator[list[str]]:
    remaining = iter(batches)
    yield next(remaining, [])
    yield from remaining


def _refusal(kind: str, names: list[str], reason: str) -> RunError:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return RunError(
        f"the embedder {kind} refuses {', '.join(names[:NAMED])}{more}: {reason}",
        "a text without a vector would pass for one that resembles nothing: leave such records out of the data, "
        "or start a run with an embedder that takes them (kind: default); every other text is embedded",
    )


def _embed_into(path: Path, count: int, blocks: Iterator[Vectors], stage: Stage | None) -> None:
    """Written block by block, not through a mapping: its pages would count as memory of the process, all of them."""
    first = next(blocks)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, first.shape[1])}
        np.lib.format.write_array_header_1_0(stream, header)
        _reserve(stream, 4 * count * first.shape[1])
        for block in chain([first], blocks):
            stream.write(np.ascontiguousarray(block, "<f4").data)
            if stage:
                stage.advance(len(block))


def _reserve(stream: BufferedWriter, more: int) -> None:
    """Take the disk space now: a full disk is better heard of before the embedding than in the middle of it."""
    if more and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(stream.fileno(), 0, stream.tell() + more)
