"""Approximate search with hnswlib: for corpora that exact search would take hours on."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from auditkit.errors import MissingExtraError
from auditkit.scoring.base import Index, IndexUse, Scores, VectorIndexConfig, Vectors
from auditkit.scoring.index import exact_best
from auditkit.scoring.products import as_scores, check_vectors, exact_scores, finite_block, first_of_equal_rows

BLOCK = 4096
CANDIDATES = 10  # the graph's own distances are rounded; these many are scored again exactly
RECALL_QUERIES = 500


class HnswIndex(VectorIndexConfig):
    """A hierarchical navigable small-world graph [Malkov & Yashunin 2016]. What it misses is measured and reported."""

    kind: Literal["hnsw"]
    m: Annotated[int, Field(ge=4, le=128, description="Links a record has on each level.")] = 32
    ef_construction: Annotated[int, Field(ge=16, le=4000, description="Candidates kept while building.")] = 200
    ef: Annotated[int, Field(ge=10, le=10_000, description="Candidates kept while searching.")] = 200
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    def ready(self) -> None:
        if find_spec("hnswlib") is None:
            raise MissingExtraError("hnswlib", "hnsw")

    def best(self, queries: Vectors, vectors: Vectors) -> tuple[Index, Scores, IndexUse]:
        check_vectors(queries, vectors)
        if not len(vectors) or not len(queries):
            index, score = exact_best(queries, vectors)
            return index, score, IndexUse(self.kind, 1.0, 0, "nothing to search")
        graph = self._build(vectors)
        canonical = first_of_equal_rows(vectors)
        index = np.empty(len(queries), np.int64)
        score = np.empty(len(queries), np.float32)
        for start in range(0, len(queries), BLOCK):
            block = finite_block(queries, start, start + BLOCK)
            found = slice(start, start + len(block))
            index[found], score[found] = self._search(graph, block, vectors, canonical)
        recall, sample = self._recall(queries, vectors, score)
        return index, score, IndexUse(self.kind, recall, sample, f"m {self.m}, ef {self.ef}")

    def _build(self, vectors: Vectors) -> Any:
        """The graph, built on one thread: the order of insertion decides its shape, and so the result."""
        try:
            import hnswlib
        except ImportError:
            raise MissingExtraError("hnswlib", "hnsw") from None
        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        graph.init_index(len(vectors), M=self.m, ef_construction=self.ef_construction, random_seed=self.seed)
        for start in range(0, len(vectors), BLOCK):
            graph.add_items(finite_block(vectors, start, start + BLOCK), num_threads=1)
        graph.set_ef(max(self.ef, CANDIDATES))
        return graph

    def _search(self, graph: Any, block: Vectors, vectors: Vectors, canonical: Index) -> tuple[Index, Scores]:
        """The best of the graph's candidates by exact score, ties to the lowest index."""
        wanted = min(CANDIDATES, len(vectors))
        labels = canonical[_candidates(graph, block, wanted)]
        rows = np.repeat(np.arange(len(block)), wanted)
        exact = exact_scores(block, vectors, rows, labels.ravel()).reshape(labels.shape)
        best = exact.max(axis=1)
        lowest = np.where(exact == best[:, None], labels, len(vectors)).min(axis=1)
        return lowest, as_scores(best)

    def _recall(self, queries: Vectors, vectors: Vectors, score: Scores) -> tuple[float, int]:
        """Recall@1 on a sample: the share of queries whose match is as near as the exact one."""
        size = min(RECALL_QUERIES, len(queries))
        sample = np.sort(np.random.default_rng(self.seed).choice(len(queries), size=size, replace=False))
        _, exact = exact_best(np.asarray(queries[sample], np.float32), vectors)
        return float(np.mean(score[sample] >= exact)), size


def _candidates(graph: Any, block: Vectors, wanted: int) -> Index:
    """(n, wanted) labels. A graph of identical rows can run out of reachable neighbours: then fewer are asked for."""
    for k in range(wanted, 0, -1):
        try:
            labels, _ = graph.knn_query(block, k=k)
        except RuntimeError:
            continue
        repeated = np.concatenate([labels, np.repeat(labels[:, :1], wanted - k, axis=1)], axis=1)
        return repeated.astype(np.int64)
    raise AssertionError("a graph that holds a record returns one")
