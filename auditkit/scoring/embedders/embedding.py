"""Texts to vectors at the least cost: equal texts are embedded once, and those of an earlier audit not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from auditkit.scoring.base import Embedder, TextRefusedError, Vectors


@dataclass(frozen=True)
class EmbeddingCounts:
    """What was done for some texts. ``texts`` includes empty ones; the others count each distinct text of a batch once.

    ``embedded``: by the embedder, now, and of so many ``characters``; ``cached``: known from before; ``long``: probably
    not read to their end by the embedder.
    """

    texts: int = 0
    embedded: int = 0
    cached: int = 0
    long: int = 0
    characters: int = 0

    def __add__(self, other: EmbeddingCounts) -> EmbeddingCounts:
        return EmbeddingCounts(*(mine + theirs for mine, theirs in zip(_values(self), _values(other), strict=True)))


class Cache(Protocol):
    """Where vectors are kept by text."""

    def key(self, text: str) -> bytes:
        """What stands for a text."""

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The (d,) vectors that are there, by key."""

    def put(self, keys: Sequence[bytes], rows: Vectors) -> None:
        """Keep (n, d) vectors under their keys; they outlast this process when it returns."""


class TextEmbedding:
    """An embedder behind a cache. ``on_call`` hears of every call of the embedder before it is made: texts, characters.

    What is told afterwards would leave out the texts that were sent and not answered.
    """

    def __init__(
        self, embedder: Embedder, cache: Cache | None = None, on_call: Callable[[int, int], None] | None = None
    ) -> None:
        self.embedder = embedder
        self.counts = EmbeddingCounts()
        self._cache = cache
        self._on_call = on_call

    def ahead(self, batches: Iterable[list[str]]) -> Iterator[list[str]]:
        """The batches that are to be embedded one after the other, for those who begin before they are asked."""
        yield from batches

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), d) float32 rows of unit norm; an empty text gives a zero row.

        Raises:
            TextRefusedError: the embedder refuses some of the texts; the vectors of all others are in it, and kept.
            RunError: as the embedder's own.
        """
        distinct = list(dict.fromkeys(text for text in texts if text))
        rows = self._known(distinct)
        cached = len(rows)
        new = [text for text in distinct if text not in rows]
        refused, reason = self._embed_new(new, rows)
        self.counts += EmbeddingCounts(len(texts), 0, cached, sum(map(self._is_long, distinct)))
        found = self._in_order(texts, rows)
        if refused:
            raise TextRefusedError([i for i, text in enumerate(texts) if text in refused], found, reason)
        return found

    def _known(self, distinct: list[str]) -> dict[str, Vectors]:
        """The vectors of those that need not be embedded."""
        if not self._cache:
            return {}
        keys = [self._cache.key(text) for text in distinct]
        known = self._cache.get(keys)
        return {text: known[key] for text, key in zip(distinct, keys, strict=True) if key in known}

    def _called(self, texts: list[str]) -> Vectors:
        """What one call of the embedder gives."""
        return self.embedder.embed(texts)

    def _embed_new(self, new: list[str], rows: dict[str, Vectors]) -> tuple[set[str], str]:
        """Fill in the vectors of new texts; the texts that were refused, and why."""
        refused: set[str] = set()
        reason = ""
        for start in range(0, len(new), self.embedder.texts_a_call):
            call = new[start : start + self.embedder.texts_a_call]
            if self._on_call:
                self._on_call(len(call), sum(map(len, call)))
            try:
                made = self._called(call)
            except TextRefusedError as error:
                refused |= {call[position] for position in error.positions}
                reason = error.reason
                kept = [position for position, text in enumerate(call) if text not in refused]
                call, made = [call[position] for position in kept], error.rows[kept]
            self._keep(call, made)
            rows.update(zip(call, made, strict=True))
        return refused, reason

    def _keep(self, texts: list[str], rows: Vectors) -> None:
        if self._cache and texts:
            self._cache.put([self._cache.key(text) for text in texts], rows)
        self._count(texts)

    def _count(self, texts: list[str]) -> None:
        self.counts += EmbeddingCounts(embedded=len(texts), characters=sum(map(len, texts)))

    def _in_order(self, texts: Sequence[str], rows: dict[str, Vectors]) -> Vectors:
        width = len(next(iter(rows.values()))) if rows else self.embedder.embed([""]).shape[1]
        found = np.zeros((len(texts), width), np.float32)
        for position, text in enumerate(texts):
            if text in rows:
                found[position] = rows[text]
        return found

    def _is_long(self, text: str) -> bool:
        return self.embedder.longest is not None and len(text) > self.embedder.longest


def _values(counts: EmbeddingCounts) -> tuple[int, ...]:
    return (counts.texts, counts.embedded, counts.cached, counts.long, counts.characters)
