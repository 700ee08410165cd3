"""Texts are embedded once, in as few and as large calls as the embedder likes, and come back in their order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.scoring.base import Embedder, TextRefusedError, Vectors
from auditkit.scoring.embedders.embedding import EmbeddingCounts, TextEmbedding
from auditkit.scoring.embedders.embedding_cache import EmbeddingCache

CALLS: list[list[str]] = []


class Recording(Embedder):
    """Notes what it is asked for. Texts that begin with "bad" are refused."""

    kind: Literal["recording"] = "recording"
    most: int = 4

    @property
    def digest(self) -> str:
        return "recording"

    @property
    def texts_a_call(self) -> int:
        return self.most

    @property
    def longest(self) -> int | None:
        return 10

    def embed(self, texts: Sequence[str]) -> Vectors:
        CALLS.append(list(texts))
        rows = np.stack([_vector(text) for text in texts]) if texts else np.zeros((0, 4), np.float32)
        bad = [i for i, text in enumerate(texts) if text.startswith("bad")]
        if bad:
            rows[bad] = 0
            raise TextRefusedError(bad, rows, "they are bad")
        return rows


def _vector(text: str) -> Vectors:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    row = np.frombuffer(digest[:4], np.uint8).astype(np.float32) + 1
    return (row / np.linalg.norm(row) if text else np.zeros(4)).astype(np.float32)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    CALLS.clear()


def sent() -> list[str]:
    return [text for call in CALLS for text in call]


def cache(folder: Path) -> EmbeddingCache:
    return EmbeddingCache.in_folder(folder, b"secret", "recording")


@given(batches=st.lists(st.lists(st.text("ab", max_size=3), max_size=12), max_size=4), cached=st.booleans())
@settings(max_examples=60)
def test_the_same_vectors_as_the_embedders_own(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]], cached: bool
) -> None:
    CALLS.clear()
    kept = cache(tmp_path_factory.mktemp("cache")) if cached else None
    embedding = TextEmbedding(Recording(), kept)
    for batch in batches:
        expected = np.stack([_vector(text) for text in batch]) if batch else np.zeros((0, 4))
        np.testing.assert_array_equal(embedding.embed(batch), expected)
    asked = [text for text in sent() if text]
    if cached:
        assert len(asked) == len(set(asked)), "a text was embedded twice"
    assert set(asked) == {text for batch in batches for text in batch if text}
    assert embedding.counts.texts == sum(map(len, batches))
    assert embedding.counts.embedded == len(asked)


def test_calls_are_as_large_as_the_embedder_likes() -> None:
    TextEmbedding(Recording(most=3)).embed([f"t{i}" for i in range(8)])
    assert [len(call) for call in CALLS] == [3, 3, 2]


def test_a_second_audit_embeds_only_what_is_new(tmp_path: Path) -> None:
    TextEmbedding(Recording(), cache(tmp_path)).embed(["a", "b", "a"])
    CALLS.clear()
    again = TextEmbedding(Recording(), cache(tmp_path))
    np.testing.assert_array_equal(again.embed(["b", "new", "a"]), [_vector("b"), _vector("new"), _vector("a")])
    assert sent() == ["new"]
    assert again.counts == EmbeddingCounts(texts=3, embedded=1, cached=2, long=0, characters=3)


def test_every_call_is_safe_before_the_next(tmp_path: Path) -> None:
    heard: list[int] = []

    told: list[tuple[int, int]] = []

    def on_call(texts: int, characters: int) -> None:
        other = cache(tmp_path)
        heard.append(len(other.get([other.key(f"t{i}") for i in range(10)])))
        told.append((texts, characters))

    TextEmbedding(Recording(most=4), cache(tmp_path), on_call).embed([f"t{i}" for i in range(10)])
    assert heard == [0, 4, 8]
    assert told == [(4, 8), (4, 8), (2, 4)]  # also of a call that will never be answered


def test_long_texts_are_counted() -> None:
    embedding = TextEmbedding(Recording())
    embedding.embed(["x" * 10, "x" * 11, "x" * 11, "y" * 30])
    assert embedding.counts.long == 2


def test_refused_texts_are_named_and_all_others_kept(tmp_path: Path) -> None:
    texts = ["a", "bad 1", "b", "c", "", "bad 2", "bad 1", "d"]
    with pytest.raises(TextRefusedError, match="they are bad") as caught:
        TextEmbedding(Recording(most=2), cache(tmp_path)).embed(texts)
    assert caught.value.positions == [1, 5, 6]
    expected = [np.zeros(4) if text.startswith("bad") else _vector(text) for text in texts]
    np.testing.assert_array_equal(caught.value.rows, expected)
    CALLS.clear()
    TextEmbedding(Recording(), cache(tmp_path)).embed(["a", "b", "c", "d"])
    assert sent() == []


def test_nothing_but_empty_texts_still_has_a_width() -> None:
    assert TextEmbedding(Recording()).embed(["", ""]).shape == (2, 4)
    assert TextEmbedding(Recording()).embed([]).shape == (0, 4)
