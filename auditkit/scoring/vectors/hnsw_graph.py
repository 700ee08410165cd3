"""The graph itself, as hnswlib builds it: over distinct rows only, asked a block of queries at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from auditkit.errors import MissingExtraError
from auditkit.scoring.base import Index, Vectors
from auditkit.scoring.threads import blas_threads
from auditkit.scoring.vectors.mapped import release
from auditkit.scoring.vectors.products import blocks, rows_of

BLOCK = 4096
ONE_THREAD = 20_000  # rows up to which the graph is built on one thread, and so is the same every time


@dataclass(frozen=True)
class GraphShape:
    """How a graph is built [Malkov & Yashunin 2016]: links of a row, candidates kept meanwhile, seed of the levels."""

    m: int
    ef_construction: int
    seed: int


class Graph:
    """A navigable small-world graph over the rows of a set of vectors; labels are row numbers."""

    def __init__(self, graph: Any, rows: int, threads: int = 1) -> None:
        self._graph, self._rows, self._threads = graph, rows, threads

    @classmethod
    def empty(cls, rows: int, width: int, shape: GraphShape, threads: int) -> Self:
        """With room for so many rows, which are inserted on so many threads."""
        graph = _hnswlib().Index(space="ip", dim=width)
        graph.init_index(max(1, rows), M=shape.m, ef_construction=shape.ef_construction, random_seed=shape.seed)
        return cls(graph, rows, threads)

    @classmethod
    def built(cls, vectors: Vectors, distinct: Index, shape: GraphShape) -> Self:
        """Of the rows ``distinct``: copies of one row would only link to each other.

        On several threads the order of insertion, and so the graph, is another each time.
        """
        threads = 1 if len(distinct) <= ONE_THREAD else blas_threads()
        graph = cls.empty(len(distinct), vectors.shape[1], shape, threads)
        for part in blocks(len(distinct), BLOCK):
            rows = distinct[part]
            graph.insert(np.asarray(vectors[rows], np.float32), rows)
            release(vectors, int(rows[0]), int(rows[-1]) + 1)
        return graph

    def insert(self, rows: Vectors, labels: Index) -> None:
        """Add rows under these labels."""
        self._graph.add_items(rows, labels, num_threads=self._threads)

    @classmethod
    def loaded(cls, path: Path, width: int) -> Self:
        """From a file that ``save`` wrote. Native code reads it: the caller has made sure that it is unchanged."""
        graph = _hnswlib().Index(space="ip", dim=width)
        graph.load_index(str(path))
        return cls(graph, graph.get_current_count())

    def save(self, path: Path) -> None:
        """Write the graph with its vectors."""
        self._graph.save_index(str(path))

    @property
    def file_size(self) -> int:
        """Bytes that ``save`` writes where nothing hinders it."""
        return int(self._graph.index_file_size())

    def __len__(self) -> int:
        """Rows that there are, or that there is room for."""
        return self._rows

    def neighbours(self, queries: Vectors, wanted: int, ef: int) -> Index:
        """(n, wanted) rows near each query, by the graph's own rounded distances; -1 where it reaches no more."""
        wanted = min(wanted, self._rows)
        self._graph.set_ef(max(ef, wanted))
        found = np.full((len(queries), wanted), -1, np.int64)
        for rows in blocks(len(queries), BLOCK):
            labels = self._reachable(rows_of(queries, rows), wanted)
            found[rows, : labels.shape[1]] = labels
        return found

    def _reachable(self, queries: Vectors, wanted: int) -> Index:
        """A graph can be in parts: where a query cannot reach so many rows, fewer are asked for."""
        while wanted:
            try:
                labels, _ = self._graph.knn_query(queries, k=wanted, num_threads=blas_threads())
            except RuntimeError:
                wanted //= 2
                continue
            return np.asarray(labels).astype(np.int64)
        return np.empty((len(queries), 0), np.int64)


def _hnswlib() -> Any:
    try:
        import hnswlib
    except ImportError:
        raise MissingExtraError("hnswlib", "hnsw") from None
    return hnswlib
