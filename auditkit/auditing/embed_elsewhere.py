"""Embedding by a cluster's workers: ahead of whoever asks for vectors, batch by batch, and counted as if done here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from auditkit.engines.base import Cluster, Work
from auditkit.scoring.base import Embedder, TextRefusedError, Vectors
from auditkit.scoring.embedders.embedding import Cache, TextEmbedding

CHARACTERS_AHEAD = 1 << 26  # of one pipeline; so many characters of texts stay in the driver's memory at most,
OF_A_TEXT = 256  # each text counted as so many more, for its vector stays there too
Call = tuple[str, ...]


@dataclass(frozen=True)
class _Embedded:
    """The (n, d) vectors of one unit; ``refused`` positions have none, for this ``reason``."""

    rows: Vectors
    refused: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class _Embedding(Work):
    """The policy's embedder, opened by each worker when it is first used. A unit is one call of it."""

    embedder: Embedder

    def opened(self) -> Callable[[Call], _Embedded]:
        self.embedder.ready()
        return self._embedded

    def told(self, unit: Call) -> str:
        return f"{len(unit)} texts to embed"

    def _embedded(self, unit: Call) -> _Embedded:
        try:
            return _Embedded(self.embedder.embed(unit))
        except TextRefusedError as error:
            return _Embedded(error.rows, tuple(error.positions), error.reason)


@dataclass
class _Ahead:
    """What workers have made of calls that nobody has asked for yet.

    ``waiting``: their texts, which are in the cache already, and are new all the same until they are asked for.
    """

    calls: dict[Call, _Embedded] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)


class FarEmbedding(TextEmbedding):
    """An embedder that workers run on batches told ahead; what comes alone, or from nowhere, is embedded here.

    Vectors are cached when they arrive, so that a run that is killed loses what is under way. Models in float32 round
    by the shape of a batch, so each worker is given the very calls that an embedder here would have had, whatever the
    engine's units, and with a cache or without: vectors do not hang on who made them.
    """

    def __init__(self, embedder: Embedder, cache: Cache | None, workers: Cluster) -> None:
        super().__init__(embedder, cache)
        self._workers = workers
        self._ahead = _Ahead()

    def ahead(self, batches: Iterable[list[str]]) -> Iterator[list[str]]:
        for window in _windows(batches):
            self._ahead = _Ahead()
            self._begin(window)
            yield from window
        self._ahead = _Ahead()

    def _begin(self, window: list[list[str]]) -> None:
        """Have the window's new texts embedded; a single call is not worth a worker's start."""
        calls = list(dict.fromkeys(self._calls(window)))
        if len(calls) < 2:
            return
        for position, made in self._workers.map("embed", _Embedding(self.embedder), calls):
            call = calls[position]
            self._ahead.calls[call] = made
            kept = [at for at in range(len(call)) if at not in made.refused]
            if self._cache and kept:
                self._cache.put([self._cache.key(call[at]) for at in kept], made.rows[kept])
                self._ahead.waiting.update(call[at] for at in kept)

    def _calls(self, window: list[list[str]]) -> Iterator[Call]:
        """As ``embed`` will make them. With a cache, a text is new only once."""
        size = self.embedder.texts_a_call
        seen: set[str] = set()
        for batch in window:
            distinct = [text for text in dict.fromkeys(batch) if text and text not in seen]
            known = super()._known(distinct)
            new = [text for text in distinct if text not in known]
            if self._cache:
                seen.update(new)
            yield from (tuple(new[start : start + size]) for start in range(0, len(new), size))

    def _known(self, distinct: list[str]) -> dict[str, Vectors]:
        return super()._known([text for text in distinct if text not in self._ahead.waiting])

    def _called(self, texts: list[str]) -> Vectors:
        made = self._ahead.calls.get(tuple(texts))
        if made is None:
            return super()._called(texts)
        if made.refused:
            raise TextRefusedError(list(made.refused), made.rows, made.reason)
        return made.rows

    def _keep(self, texts: list[str], rows: Vectors) -> None:
        """Counted; and kept where it was not when it arrived."""
        if self._ahead.waiting.issuperset(texts):
            self._count(texts)
        else:
            super()._keep(texts, rows)
        self._ahead.waiting.difference_update(texts)


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
