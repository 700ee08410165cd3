"""Vectors to search: made ones that are spread as text embeddings are, and the default embedder's of real texts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auditkit.scoring.base import Vectors
from benchmarks.measure import Skipped

TEXTS = Path("examples/smollm2/data/gsm8k_train.jsonl")
TOPICS, SPREAD, FALL = 500, 1.0, 0.5
NOISE = (0.15, 0.8)  # of a query that is a record told anew


@dataclass(frozen=True)
class Case:
    """Records and queries, unit rows of one width; half of the queries are records told anew, half of the same kind."""

    name: str
    vectors: Vectors
    queries: Vectors


def clustered(n: int, width: int = 384, seed: int = 0) -> Case:
    """Unit rows in clusters: topics of sizes that fall as 1 / rank, each with its own direction, and rows around it.

    Standard deviations fall as 1 / sqrt(rank) over the numbers of a row, as over the principal components of
    embeddings, and are as large within a topic as between topics. A record told anew is the record plus noise of 15
    to 80 % of its length: cosines of 0.78 to 0.99.
    """
    random = np.random.default_rng(seed)
    scale = (np.arange(1, width + 1) ** -FALL).astype(np.float32)
    topics = random.standard_normal((TOPICS, width), np.float32) * scale
    share = 1 / np.arange(1, TOPICS + 1)

    def draw(count: int) -> Vectors:
        chosen = random.choice(TOPICS, count, p=share / share.sum())
        return _unit(topics[chosen] + SPREAD * scale * random.standard_normal((count, width), np.float32))

    vectors = draw(n)
    return Case(f"clustered, {width} numbers", vectors, _half_told_anew(vectors, draw(n), random))


def real(n: int, seed: int = 0) -> Case:
    """Stretches of 100 to 600 characters of GSM8K, embedded by the default embedder; queries as for ``clustered``.

    Raises:
        Skipped: the texts were not fetched.
    """
    from auditkit.scoring.embedders.wordllama_embedder import DefaultEmbedder

    if not TEXTS.exists():
        raise Skipped(f"{TEXTS} is not there: python examples/smollm2/prepare.py")
    random = np.random.default_rng(seed)
    rows = [json.loads(line) for line in TEXTS.read_text().splitlines()]
    text = "\n".join(f"{row['question']} {row['answer']}" for row in rows)
    starts = random.integers(0, len(text) - 600, 2 * n)
    lengths = random.integers(100, 600, 2 * n)
    texts = [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    embedded = DefaultEmbedder(kind="default").embed(texts)
    return Case("stretches of GSM8K", embedded[:n], _half_told_anew(embedded[:n], embedded[n:], random))


def _half_told_anew(vectors: Vectors, others: Vectors, random: np.random.Generator) -> Vectors:
    queries = others.copy()
    half = queries[::2]
    told = vectors[random.integers(0, len(vectors), len(half))]
    noise = _unit(random.standard_normal(half.shape, np.float32))
    queries[::2] = _unit(told + random.uniform(*NOISE, (len(half), 1)).astype(np.float32) * noise)
    return queries


def _unit(rows: Vectors) -> Vectors:
    made: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made
