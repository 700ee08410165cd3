"""Approximate search with hnswlib: for corpora that exact search would take hours on."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from auditkit.errors import MissingExtraError
from auditkit.scoring.base import IndexChoice, IndexStore, Search, VectorIndex, VectorIndexConfig, Vectors
from auditkit.scoring.exact_search import ExactSearch
from auditkit.scoring.hnsw_graph import ONE_THREAD, GraphShape
from auditkit.scoring.hnsw_search import GraphedVectors, HnswSearch
from auditkit.scoring.hnsw_tuning import RECALL, Sample, drawn_sample, least_effort, measured_use, recall_at_1
from auditkit.scoring.index_store import opened_graph
from auditkit.scoring.products import check_vectors, first_of_equal_rows, row_norms

STEPS = ((24, 80), (32, 160), (48, 400))  # m and ef_construction, tried in turn


class HnswIndex(VectorIndexConfig):
    """A hierarchical navigable small-world graph [Malkov & Yashunin 2016]. What it misses is measured and reported.

    What is not given is tuned: ``ef``, and then the graph itself, is raised until recall@1 is at least 0.999 on
    sampled queries whose best score is near the threshold or above.
    """

    kind: Literal["hnsw"]
    m: Annotated[int, Field(ge=4, le=128, description="Links a record has on each level.")] | None = None
    ef_construction: Annotated[int, Field(ge=16, le=4000, description="Candidates kept while building.")] | None = None
    ef: Annotated[int, Field(ge=10, le=10_000, description="Candidates kept while searching.")] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    def ready(self) -> None:
        if find_spec("hnswlib") is None:
            raise MissingExtraError("hnswlib", "hnsw")

    def open(self, vectors: Vectors, choice: IndexChoice, store: IndexStore | None = None) -> VectorIndex:
        row_norms(vectors)  # refuses what is no number
        return OpenHnsw(self, vectors, choice, store)

    def shapes(self) -> Iterator[GraphShape]:
        """The graphs to try, in turn: each a better and dearer one."""
        shapes = (
            GraphShape(self.m or m, self.ef_construction or ef_construction, self.seed) for m, ef_construction in STEPS
        )
        yield from dict.fromkeys(shapes)


class OpenHnsw(VectorIndex):
    """Builds the graph when it is first searched: how good it must be hangs on the queries.

    A choice that was not for ``hnsw`` by name (``auto``) falls back to exact search where the recall is not reached.
    """

    def __init__(self, config: HnswIndex, vectors: Vectors, choice: IndexChoice, store: IndexStore | None) -> None:
        self._config, self._vectors, self._choice, self._store = config, vectors, choice, store
        self._shapes = config.shapes()
        self._graphed: GraphedVectors | None = None
        self._shape: GraphShape | None = None

    def search(self, queries: Vectors, threshold: float | None = None) -> Search:
        check_vectors(queries, self._vectors)
        if not len(self._vectors) or not len(queries):
            return ExactSearch(self._vectors, threshold, reason="nothing to search")
        sample = drawn_sample(queries, self._vectors, threshold, self._config.seed)
        graphed, ef, recall = self._good_enough(sample)
        if recall < RECALL and self._choice.reason:  # chosen to save time, not asked for
            reason = f"{self._choice.reason}; but its recall@1 came to {recall:.2%} only, so every pair was compared"
            return ExactSearch(self._vectors, threshold, reason=reason)
        use = measured_use(graphed, sample, ef, self._reason(sample, ef, recall))
        return HnswSearch(graphed, ef, threshold, use)

    def _good_enough(self, sample: Sample) -> tuple[GraphedVectors, int, float]:
        """The first graph of ``shapes`` on which some ef reaches the recall, that ef, and the recall."""
        while True:
            graphed = self._graphed or self._next_graph()
            if self._config.ef is not None:
                return graphed, self._config.ef, recall_at_1(graphed, sample, self._config.ef)
            ef, recall = least_effort(graphed, sample)
            if recall >= RECALL or not self._more_shapes():
                return graphed, ef, recall
            self._graphed = None

    def _next_graph(self) -> GraphedVectors:
        self._shape = next(self._shapes)
        first = first_of_equal_rows(self._vectors)
        distinct = np.flatnonzero(first == np.arange(len(first)))
        graph = opened_graph(self._vectors, distinct, self._shape, self._store)
        self._graphed = GraphedVectors(self._vectors, first, graph)
        return self._graphed

    def _more_shapes(self) -> bool:
        """Whether a better graph than this one is left to try."""
        left = list(self._shapes)
        self._shapes = iter(left)
        return bool(left)

    def _reason(self, sample: Sample, ef: int, recall: float) -> str:
        assert self._shape is not None and self._graphed is not None
        parts = [self._choice.reason, f"m {self._shape.m}, ef_construction {self._shape.ef_construction}, ef {ef}"]
        parts.append(sample.described)
        if recall < RECALL:
            parts.append(f"a recall@1 of {RECALL:.1%} is not reached")
        if len(self._graphed.graph) > ONE_THREAD:
            parts.append("another graph of the same data, built on several threads, can miss others")
        return "; ".join(part for part in parts if part)
