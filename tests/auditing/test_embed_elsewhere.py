"""Embedding by workers: the vectors, the counts and the cache of embedding here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from auditkit.auditing import embed_elsewhere
from auditkit.auditing.embed_elsewhere import FarEmbedding
from auditkit.scoring.base import Embedder, TextRefusedError, Vectors
from auditkit.scoring.embedders.embedding import TextEmbedding

from ..engines.inline import Inline

BATCHES = [["a", "b", "a", ""], ["c", "b", "d"], ["e", "f", "g", "h"], ["a", "e"], []]


class Letters(Embedder):
    """A vector for a letter, rounded by the call that it is part of; some are refused."""

    kind: Literal["letters"] = "letters"
    refused: str = ""
    together: int = 3

    @property
    def digest(self) -> str:
        return "letters"

    @property
    def texts_a_call(self) -> int:
        return self.together

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), 2), np.float32)
        for row, text in zip(rows, texts, strict=True):
            if text:
                row[:] = np.cos(ord(text)), np.sin(ord(text)) + 1e-6 * hash(tuple(texts)) / 2**64
        if refused := [at for at, text in enumerate(texts) if text and text in self.refused]:
            raise TextRefusedError(refused, rows, "no such letter")
        return rows


class Kept:
    """A cache in memory."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Vectors] = {}

    def key(self, text: str) -> bytes:
        return text.encode()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    def put(self, keys: Sequence[bytes], rows: Vectors) -> None:
        self.rows.update(zip(keys, rows, strict=True))


def _embedded(embedding: TextEmbedding) -> list[Vectors]:
    return [embedding.embed(batch) for batch in embedding.ahead(BATCHES)]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("unit", [1, 50])
def test_vectors_counts_and_cache_are_the_same(cached: bool, unit: int) -> None:
    here_cache, far_cache = (Kept(), Kept()) if cached else (None, None)
    workers = Inline(unit, 10)
    here, far = TextEmbedding(Letters(), here_cache), FarEmbedding(Letters(), far_cache, workers)
    for mine, theirs in zip(_embedded(far), _embedded(here), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    assert far.counts == here.counts
    assert sum(workers.asked) == (4 if cached else 5), "the calls that were made here, and no others"
    if here_cache and far_cache:
        assert {key: row.tobytes() for key, row in far_cache.rows.items()} == {
            key: row.tobytes() for key, row in here_cache.rows.items()
        }


def test_refused_texts_are_refused_where_they_stand() -> None:
    far = FarEmbedding(Letters(refused="d"), Kept(), Inline(2, 10))
    found = []
    for batch in far.ahead(BATCHES):
        try:
            far.embed(batch)
        except TextRefusedError as error:
            found.append((batch, list(error.positions), error.reason))
    assert found == [(["c", "b", "d"], [2], "no such letter")]


def test_what_arrived_is_kept_when_the_run_is_interrupted() -> None:
    kept = Kept()
    far = FarEmbedding(Letters(together=1), kept, Inline(1, 10, fail_after=4))
    with pytest.raises(KeyboardInterrupt):
        _embedded(far)
    assert len(kept.rows) == 4


def test_short_texts_do_not_fill_the_memory_with_their_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_elsewhere, "CHARACTERS_AHEAD", 2048)
    workers = Inline(1, 10)
    far = FarEmbedding(Letters(), None, workers)
    for batch in far.ahead([[chr(code), chr(code + 1)] for code in range(0x100, 0x110, 2)]):
        far.embed(batch)
    assert workers.asked == [4, 4]
