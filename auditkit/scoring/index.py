"""Nearest records by embedding: exact search in blocks, and the choice between exact and approximate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Literal

import numpy as np

from auditkit.errors import AuditkitError
from auditkit.scoring.base import Index, IndexUse, Scores, VectorIndexConfig, Vectors
from auditkit.scoring.products import (
    Floats,
    as_scores,
    check_vectors,
    exact_scores,
    improve_best,
    product_blocks,
    rounding,
)

# What two ordinary cores do; the choice must not depend on how busy the machine is, or a resumed run would differ.
MULTIPLICATIONS_PER_SECOND = 2e10
HNSW_SECONDS_PER_INSERT, HNSW_SECONDS_PER_QUERY = 1e-3, 2e-4
PATIENCE_SECONDS = 600.0


class ExactIndex(VectorIndexConfig):
    """Every query against every record: no match is missed."""

    kind: Literal["exact"]

    def best(self, queries: Vectors, vectors: Vectors) -> tuple[Index, Scores, IndexUse]:
        index, score = exact_best(queries, vectors)
        return index, score, IndexUse("exact", 1.0, 0, "every pair was compared")


class AutoIndex(VectorIndexConfig):
    """Exact search, unless it would take long and an approximate index would not."""

    kind: Literal["auto"]

    def best(self, queries: Vectors, vectors: Vectors) -> tuple[Index, Scores, IndexUse]:
        kind, reason = choose_index(len(queries), *vectors.shape)
        index, score, use = _config(kind).best(queries, vectors)
        return index, score, IndexUse(use.kind, use.recall_at_1, use.queries, reason)


def choose_index(queries: int, records: int, width: int, hnsw_installed: bool | None = None) -> tuple[str, str]:
    """The kind of index for a search of this size, and the reason in words."""
    exact = queries * records * width / MULTIPLICATIONS_PER_SECOND
    approximate = records * HNSW_SECONDS_PER_INSERT + queries * HNSW_SECONDS_PER_QUERY
    if exact <= PATIENCE_SECONDS or exact <= 2 * approximate:
        return "exact", f"exact search takes an estimated {_duration(exact)}"
    if not (find_spec("hnswlib") is not None if hnsw_installed is None else hnsw_installed):
        return "exact", f"an estimated {_duration(exact)}; hnswlib, which would be faster, is not installed"
    return "hnsw", f"exact search would take an estimated {_duration(exact)}, this {_duration(approximate)}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return "under a minute"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} h"


def _config(kind: str) -> VectorIndexConfig:
    if kind == "exact":
        return ExactIndex(kind="exact")
    if kind == "hnsw":
        from auditkit.scoring.hnsw_index import HnswIndex

        return HnswIndex(kind="hnsw")
    if kind == "auto":
        return AutoIndex(kind="auto")
    raise AuditkitError(f"no index is called {kind!r}", "one of: auto, exact, hnsw")


def best_vector_matches(queries: Vectors, vectors: Vectors, index: str = "auto") -> tuple[Index, Scores]:
    """For each query its nearest vector.

    Args:
        queries: (n, d) rows of unit norm.
        vectors: (m, d) rows of unit norm.
        index: ``auto``, ``exact`` or ``hnsw``.

    Returns:
        index: (n,) int64, ties to the lowest; -1 where there are no vectors.
        score: (n,) float32 cosine; -inf where there are no vectors.

    Raises:
        AuditkitError: widths differ, a value is not finite, or no such index.
        MissingExtraError: ``hnsw`` without hnswlib.
    """
    queries, vectors = np.asarray(queries, np.float32), np.asarray(vectors, np.float32)
    found, score, _ = _config(index).best(queries, vectors)
    return found, score


def exact_best(queries: Vectors, vectors: Vectors) -> tuple[Index, Scores]:
    """``best_vector_matches`` by exact search, in blocks of bounded size; memory-mapped arrays are welcome."""
    check_vectors(queries, vectors)
    best_index = np.full(len(queries), -1, np.int64)
    best_score: Floats = np.full(len(queries), -np.inf)
    for rows, columns, left, right in product_blocks(queries, vectors):
        index, score = improve_best(left @ right.T, left, right, best_score[rows], rounding(left, right))
        better = score > best_score[rows]  # columns come in order, so an equal score later is no better
        best_index[rows] = np.where(better, index + columns.start, best_index[rows])
        best_score[rows] = np.where(better, score, best_score[rows])
    return best_index, _scores_or_none(best_score)


def best_per_vector(query_blocks: Iterable[Vectors], vectors: Vectors) -> tuple[Index, Scores]:
    """The other direction: for each vector its nearest query, over a stream of query blocks.

    Returns:
        index: (m,) int64 position of the query in the stream, ties to the earliest; -1 where there were no queries.
        score: (m,) float32; -inf where there were no queries.
    """
    best = BestPerVector(vectors)
    for block in query_blocks:
        best.add(block)
    return best.index, best.score


class BestPerVector:
    """The nearest query of each vector so far; queries come in blocks and are not kept."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._score: Floats = np.full(len(vectors), -np.inf)
        self._seen = 0
        self.index: Index = np.full(len(vectors), -1, np.int64)

    def add(self, queries: Vectors) -> None:
        """Take in (n, d) more queries; their positions go on from the last block's."""
        for rows, columns, left, right in product_blocks(self._vectors, queries):
            index, score = improve_best(left @ right.T, left, right, self._score[rows], rounding(left, right))
            better = score > self._score[rows]
            self.index[rows] = np.where(better, index + columns.start + self._seen, self.index[rows])
            self._score[rows] = np.where(better, score, self._score[rows])
        self._seen += len(queries)

    @property
    def score(self) -> Scores:
        """(m,) float32 best scores; -inf before the first query."""
        return _scores_or_none(self._score)


def hits_above(queries: Vectors, vectors: Vectors, threshold: float) -> Iterator[tuple[Index, Index, Scores]]:
    """Every pair whose score reaches the threshold, in blocks of bounded size.

    Yields:
        query index (k,), vector index (k,), score (k,) float32, sorted by query and then vector within a block. A
        pair is in or out by its exact score; queries come in order, each may span several blocks of vectors.
    """
    for rows, columns, left, right in product_blocks(queries, vectors):
        products = left @ right.T
        slack = rounding(left, right)
        hit_rows, hit_columns = np.nonzero(products >= np.float32(threshold - slack))
        scores = products[hit_rows, hit_columns]
        near = np.flatnonzero(scores <= threshold + slack)  # only these can be on the wrong side
        scores[near] = as_scores(exact_scores(left, right, hit_rows[near], hit_columns[near]))
        reached = scores >= threshold
        yield (
            hit_rows[reached] + rows.start,
            hit_columns[reached] + columns.start,
            np.clip(scores[reached], -1, 1),
        )


def pair_scores(queries: Vectors, vectors: Vectors, query: Index, vector: Index) -> Scores:
    """(k,) float32 exact scores of named pairs; of memory-mapped arrays only the named rows are read."""
    return as_scores(exact_scores(queries, vectors, query, vector))


def _scores_or_none(score: Floats) -> Scores:
    return np.where(np.isinf(score), np.float32(-np.inf), as_scores(score)).astype(np.float32)
