"""Approximate search with hnswlib: for corpora that exact search would take hours on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from auditkit.errors import MissingExtraError
from auditkit.scoring.base import (
    RECALL,
    IndexChoice,
    IndexStore,
    IndexUse,
    Search,
    VectorIndex,
    VectorIndexConfig,
    Vectors,
)
from auditkit.scoring.vectors.exact_search import ExactSearch
from auditkit.scoring.vectors.hnsw_graph import ONE_THREAD, GraphShape
from auditkit.scoring.vectors.hnsw_search import GraphedVectors, HnswSearch
from auditkit.scoring.vectors.hnsw_tuning import EFFORTS, Samples, drawn_samples, least_effort, measured, shown
from auditkit.scoring.vectors.index_store import opened_graph
from auditkit.scoring.vectors.products import check_vectors, first_of_equal_rows, row_norms

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
        tuned = self._config.ef is None
        samples = drawn_samples(queries, self._vectors, threshold, self._config.seed, tuned=tuned)
        graphed, ef = self._good_enough(samples)
        use = measured(graphed, samples.fresh, ef)
        if use.misses and self._choice.reason:  # chosen to save time, not asked for
            reason = f"{self._choice.reason}; but {_shortfall(use)}, so every pair was compared"
            return ExactSearch(self._vectors, threshold, reason=reason)
        return HnswSearch(graphed, ef, threshold, replace(use, reason=self._reason(samples, use, ef), cut=0))

    def _good_enough(self, samples: Samples) -> tuple[GraphedVectors, int]:
        """The first graph of ``shapes`` on which some ef reaches the recall, and that ef."""
        while True:
            graphed = self._graphed or self._next_graph()
            if self._config.ef is not None:
                return graphed, self._config.ef
            ef = least_effort(graphed, samples)
            if ef is not None or not self._more_shapes():
                return graphed, ef or EFFORTS[-1]
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

    def _reason(self, samples: Samples, use: IndexUse, ef: int) -> str:
        assert self._shape is not None and self._graphed is not None
        parts = [self._choice.reason, f"m {self._shape.m}, ef_construction {self._shape.ef_construction}, ef {ef}"]
        parts += [samples.described, shown(samples, use)]
        if use.recall_at_1 < RECALL:
            parts.append(f"a recall@1 of {RECALL:.1%} is not reached")
        if len(self._graphed.graph) > ONE_THREAD:
            parts.append("another graph of the same data, built on several threads, can miss others")
        return "; ".join(part for part in parts if part)


def _shortfall(use: IndexUse) -> str:
    """The first thing that the search missed too much of."""
    if use.recall_at_1 < RECALL:
        return f"its recall@1 came to {use.recall_at_1:.2%} only"
    if use.pair_recall is not None and use.pair_recall < RECALL:
        return f"it found {use.pair_recall:.2%} of the pairs within the threshold only"
    return "some queries have more records within the threshold than it can be asked for"
