"""Embedding: each text once and sorted by length, against file order; a second audit against the first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from auditkit.scoring.base import Embedder, Vectors
from auditkit.scoring.embedders.embedding import TextEmbedding
from auditkit.scoring.embedders.embedding_cache import EmbeddingCache
from auditkit.scoring.embedders.sentence_embedder import SentenceTransformersEmbedder, _model
from auditkit.scoring.embedders.wordllama_embedder import DefaultEmbedder
from benchmarks.embedder_candidates import minilm_folder
from benchmarks.likelihood import rows_of
from benchmarks.measure import Entry, Floats, Side, compared, in_turn

SECRET = b"a secret that nothing hangs on here"
REPEATED = 0.3  # of generations that equal another, as the lab's do
BATCH = 32


def default(repeats: int, texts: int = 4000) -> list[Entry]:
    """The default embedder: what the cache costs the first audit, and spares the second."""
    work = varied_texts(texts)
    with tempfile.TemporaryDirectory() as folder:
        return _cached("embedding, wordllama", DefaultEmbedder(kind="default"), work, repeats, Path(folder))


def minilm(repeats: int, texts: int = 384) -> list[Entry]:
    """all-MiniLM-L6-v2, bound by arithmetic: padding and repeated texts are what can be spared."""
    options = {"kind": "sentence_transformers", "path": str(minilm_folder()), "batch_size": BATCH}
    embedder = SentenceTransformersEmbedder.model_validate(options)
    work = varied_texts(texts)
    with tempfile.TemporaryDirectory() as folder:
        cached = _cached("embedding, MiniLM", embedder, work, repeats, Path(folder))
    return [in_file_order(embedder, work, repeats), *cached]


def in_file_order(embedder: SentenceTransformersEmbedder, texts: Sequence[str], repeats: int) -> Entry:
    """Deduplicated and sorted, against batches as the texts come."""
    distinct = list(dict.fromkeys(texts))
    sides = {
        "ours": partial(_values, TextEmbedding(embedder).embed, texts),
        "peer": partial(_values, partial(_file_order, embedder), texts),
        "sorted": partial(_values, embedder.embed, distinct),
        "distinct": partial(_values, partial(_file_order, embedder), distinct),
    }
    found = in_turn(sides, repeats)
    entry = compared(
        "embedding, MiniLM, each text once and sorted",
        f"batches of {BATCH} in file order",
        found["ours"],
        found["peer"],
    )
    by_sorting = round(found["distinct"].seconds / found["sorted"].seconds, 3)
    return Entry(**{**vars(entry), "more": {**entry.more, "distinct": len(distinct), "ratio_by_sorting": by_sorting}})


def varied_texts(count: int) -> list[str]:
    """One to four conversations each, of which about three in ten repeat another to the letter."""
    draw, rows = Random(7), rows_of("sft.jsonl")
    made: list[str] = []
    for _ in range(count):
        if made and draw.random() < REPEATED:
            made.append(draw.choice(made))
        else:
            group = draw.sample(rows, draw.choice((1, 1, 1, 2, 2, 3, 4)))
            made.append(" ".join(f"{question}\n{answer}" for question, answer in group))
    return made


def _cached(name: str, embedder: Embedder, texts: list[str], repeats: int, folder: Path) -> list[Entry]:
    warm = folder / "warm"
    _through(embedder, texts, warm)
    fresh = iter(range(10**6))
    sides: dict[str, Side] = {
        "plain": partial(_values, TextEmbedding(embedder).embed, texts),
        "first": lambda: _values(lambda given: _through(embedder, given, folder / f"cold{next(fresh)}"), texts),
        "second": partial(_values, lambda given: _through(embedder, given, warm), texts),
    }
    found = in_turn(sides, repeats)
    return [
        compared(f"{name}, second audit", "the first audit", found["second"], found["first"]),
        compared(f"{name}, first audit with its cache", "without a cache", found["first"], found["plain"]),
    ]


def _through(embedder: Embedder, texts: Sequence[str], folder: Path) -> Vectors:
    cache = EmbeddingCache.in_folder(folder, SECRET, embedder.digest)
    try:
        return TextEmbedding(embedder, cache).embed(texts)
    finally:
        cache.close()


def _file_order(embedder: SentenceTransformersEmbedder, texts: Sequence[str]) -> Vectors:
    model = _model(embedder.path, embedder.dtype, embedder.max_length)
    batches = (list(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH))
    made = [
        model.encode(batch, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False) for batch in batches
    ]
    return np.concatenate(made)


def _values(embed: Callable[[Sequence[str]], Vectors], texts: Sequence[str]) -> Floats:
    """(n,) 2 + cosine with the first text: nowhere near 0, where a relative difference would say nothing."""
    rows = embed(texts).astype(np.float64)
    values: Floats = 2 + rows @ rows[0]
    return values
