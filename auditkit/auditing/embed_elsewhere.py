"""Embedding by a cluster's workers: ahead of whoever asks for vectors, batch by batch, and counted as if done here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from auditkit.engines.base import Cluster, Work
from auditkit.scoring.base import Embedder, TextRefusedError, Vectors
from auditkit.scoring.embedders.embedding import Cache, TextEmbedding

CHARACTERS_AHEAD = 1 << 26  # of one pipeline; so many characters of texts stay in the driver's memory at most,
OF_A_TEXT = 256  # each text counted as so many more, for its vector stays there too


@dataclass(frozen=True)
class _Embedded:
    """The (n, d) vectors of one unit; ``refused`` positions have none, for this ``reason``."""

    rows: Vectors
    refused: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class _Embedding(Work):
    """The policy's embedder, opened by each worker when it is first used."""

    embedder: Embedder

    def opened(self) -> Callable[[list[str]], _Embedded]:
        self.embedder.ready()
        return self._embedded

    def told(self, unit: list[str]) -> str:
        return f"{len(unit)} texts to embed"

    def _embedded(self, unit: list[str]) -> _Embedded:
        try:
            return _Embedded(self.embedder.embed(unit))
        except TextRefusedError as error:
            return _Embedded(error.rows, tuple(error.positions), error.reason)


@dataclass
class _Ahead:
    """What is known of texts that nobody has asked for yet."""

    rows: dict[str, Vectors] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def __contains__(self, text: str) -> bool:
        return text in self.rows or text in self.refused


class FarEmbedding(TextEmbedding):
    """An embedder that workers run on batches told ahead; what comes alone, or from nowhere, is embedded here.

    Vectors are cached when they arrive, so that a run that is killed loses what is under way. Each worker is called
    with the texts that one call here would have had, so that vectors do not hang on who made them.
    """

    def __init__(self, embedder: Embedder, cache: Cache | None, workers: Cluster) -> None:
        super().__init__(embedder, cache)
        self._workers = workers
        self._ready = _Ahead()

    def ahead(self, batches: Iterable[list[str]]) -> Iterator[list[str]]:
        for window in _windows(batches):
            self._ready = _Ahead()
            self._begin(window)
            yield from window
        self._ready = _Ahead()

    def _begin(self, window: list[list[str]]) -> None:
        """Have the window's new texts embedded; a single call is not worth a worker's start."""
        units = list(self._units(window))
        if len(units) < 2:
            return
        for position, made in self._workers.map("embed", _Embedding(self.embedder), units):
            texts = units[position]
            refused = {texts[at]: made.reason for at in made.refused}
            kept = [at for at, text in enumerate(texts) if text not in refused]
            if self._cache and kept:
                self._cache.put([self._cache.key(texts[at]) for at in kept], made.rows[kept])
            self._ready.rows.update((texts[at], made.rows[at]) for at in kept)
            self._ready.refused.update(refused)

    def _units(self, window: list[list[str]]) -> Iterator[list[str]]:
        size = min(self.embedder.texts_a_call, self._workers.texts_a_unit())
        seen: set[str] = set()
        for batch in window:
            distinct = [text for text in dict.fromkeys(batch) if text and text not in seen]
            known = super()._known(distinct)
            new = [text for text in distinct if text not in known]
            seen.update(new)
            yield from (new[start : start + size] for start in range(0, len(new), size))

    def _known(self, distinct: list[str]) -> dict[str, Vectors]:
        """What workers have just embedded is in the cache as well, and still counts as embedded now."""
        return super()._known([text for text in distinct if text not in self._ready])

    def _called(self, texts: list[str]) -> Vectors:
        if not all(text in self._ready for text in texts):
            return super()._called(texts)
        refused = [at for at, text in enumerate(texts) if text in self._ready.refused]
        rows = self._rows(texts)
        if refused:
            raise TextRefusedError(refused, rows, self._ready.refused[texts[refused[0]]])
        return rows

    def _rows(self, texts: Sequence[str]) -> Vectors:
        known = self._ready.rows
        width = len(next(iter(known.values()))) if known else self.embedder.embed([""]).shape[1]
        return np.stack([known.get(text, np.zeros(width, np.float32)) for text in texts])

    def _keep(self, texts: list[str], rows: Vectors) -> None:
        """Counted; and kept where it was not when it arrived. With a cache, a text is new only once."""
        ready = [text for text in texts if text in self._ready.rows]
        if len(ready) < len(texts) or not self._cache:
            super()._keep(texts, rows)
        else:
            self._count(texts)
        if self._cache:
            for text in ready:
                del self._ready.rows[text]


def _windows(batches: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """Batches together, as many as may be held at once."""
    window: list[list[str]] = []
    held = 0
    for batch in batches:
        window.append(batch)
        held += sum(map(len, batch)) + OF_A_TEXT * len(batch)
        if held >= CHARACTERS_AHEAD:
            yield window
            window, held = [], 0
    if window:
        yield window
