"""Nearest records by embedding: the kinds of index, and the choice between exact and approximate."""

from __future__ import annotations

from typing import Literal

import numpy as np

from auditkit.errors import AuditkitError
from auditkit.scoring.base import (
    Index,
    IndexChoice,
    IndexStore,
    Scores,
    Search,
    VectorIndex,
    VectorIndexConfig,
    Vectors,
)
from auditkit.scoring.vectors.device_search import WORTH_A_DEVICE, DeviceSearch, DeviceVectors, accelerator
from auditkit.scoring.vectors.exact_search import ExactSearch
from auditkit.scoring.vectors.index_costs import chosen_index
from auditkit.scoring.vectors.nomination import Nominator, chosen_nominator


class ExactIndex(VectorIndexConfig):
    """Every query against every record: no match is missed."""

    kind: Literal["exact"]

    def open(self, vectors: Vectors, choice: IndexChoice, store: IndexStore | None = None) -> VectorIndex:  # noqa: ARG002
        return OpenExact(vectors, choice.reason)


class OpenExact(VectorIndex):
    """There is nothing to build but a copy that is cheaper to multiply with, where there is such, for all searches.

    On a machine with a GPU, a search that is worth it runs there, to the same result.
    """

    def __init__(self, vectors: Vectors, reason: str = "") -> None:
        self._vectors, self._reason = vectors, reason
        self._nominator: Nominator | None = None
        self._there: DeviceVectors | None = None

    def search(self, queries: Vectors, threshold: float | None = None) -> Search:
        if len(queries) * self._vectors.size >= WORTH_A_DEVICE and (device := accelerator()):
            self._there = self._there or DeviceVectors(self._vectors, device)
            return DeviceSearch(self._there, threshold, reason=self._reason)
        return ExactSearch(self._vectors, threshold, reason=self._reason, nominator=self._made_once)

    def _made_once(self, vectors: Vectors, longest: float) -> Nominator:
        self._nominator = self._nominator or chosen_nominator(vectors, longest)
        return self._nominator


class AutoIndex(VectorIndexConfig):
    """Exact search, unless it would take long and an approximate index at most half as long, by trials of both."""

    kind: Literal["auto"]

    def choose(self, vectors: Vectors, queries: int) -> IndexChoice:
        return chosen_index(vectors, queries)

    def open(self, vectors: Vectors, choice: IndexChoice, store: IndexStore | None = None) -> VectorIndex:
        return _config(choice.kind).open(vectors, choice, store)


def _config(kind: str) -> VectorIndexConfig:
    if kind == "exact":
        return ExactIndex(kind="exact")
    if kind == "hnsw":
        from auditkit.scoring.vectors.hnsw_index import HnswIndex

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
