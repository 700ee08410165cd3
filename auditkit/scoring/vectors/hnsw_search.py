"""Searching a graph: what it nominates is scored exactly, and it is asked on until everything within reach is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from auditkit.scoring.base import Hits, Index, IndexUse, Scores, Search, Vectors
from auditkit.scoring.vectors.hnsw_graph import BLOCK, Graph
from auditkit.scoring.vectors.mapped import release
from auditkit.scoring.vectors.products import (
    Floats,
    as_scores,
    blocks,
    check_vectors,
    exact_scores,
    row_norms,
)

CANDIDATES = 10  # the graph's own distances are rounded; these many are scored again exactly
MORE = 4  # times as many are asked for where the last of them still reaches the threshold
MOST = 4096  # neighbours of one query
PAIRS = 1 << 20  # that are looked at together


@dataclass(frozen=True)
class GraphedVectors:
    """(m, d) vectors in memory or mapped, what repeats among them, and the graph over what does not."""

    vectors: Vectors
    first: Index  # (m,) the lowest identical row
    graph: Graph

    @cached_property
    def _groups(self) -> tuple[Index, Index]:
        """Rows ordered by their first identical row, and where each row's group begins (m + 1,)."""
        order = np.argsort(self.first, kind="stable")
        return order, np.searchsorted(self.first[order], np.arange(len(self.first) + 1))

    def copies(self, queries: Index, rows: Index) -> tuple[Index, Index]:
        """Each pair (query, row) once for every row identical to it."""
        order, begins = self._groups
        counts = begins[rows + 1] - begins[rows]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(queries, counts), order[np.repeat(begins[rows], counts) + within]


@dataclass(frozen=True)
class Found:
    """The graph's candidates for a block of queries, (n, k): rows, -1 for none, and exact products."""

    rows: Index
    exact: Floats

    @classmethod
    def of(cls, graphed: GraphedVectors, queries: Vectors, wanted: int, ef: int) -> Found:
        """Asked for ``wanted`` neighbours of each query."""
        rows = graphed.graph.neighbours(queries, wanted, ef)
        exact = np.full(rows.shape, -np.inf)
        known = rows >= 0
        exact[known] = exact_scores(queries, graphed.vectors, np.nonzero(known)[0], rows[known])
        return cls(rows, exact)

    def best(self) -> tuple[Index, Floats]:
        """(n,) the nearest of each query's candidates, ties to the lowest row, and its product."""
        best = self.exact.max(axis=1)
        beyond = np.iinfo(np.int64).max
        return np.where(self.exact == best[:, None], self.rows, beyond).min(axis=1), best


class HnswSearch(Search):
    """Queries in blocks, against a graph, with ``ef`` candidates kept while it is walked.

    A query of zeros scores 0 with everything: its nearest is row 0, and it has no hits.
    """

    def __init__(self, graphed: GraphedVectors, ef: int, threshold: float | None, use: IndexUse) -> None:
        self._graphed, self._ef, self._use = graphed, ef, use
        self._threshold = None if threshold is None else float(np.float32(threshold))
        self._index = np.full(len(graphed.vectors), -1, np.int64)
        self._score: Floats = np.full(len(graphed.vectors), -np.inf)
        self._seen = self._cut = 0

    def add(self, queries: Vectors, hits: Hits | None = None) -> tuple[Index, Scores]:
        check_vectors(queries, self._graphed.vectors)
        index, score = np.zeros(len(queries), np.int64), np.zeros(len(queries), np.float32)
        zero = row_norms(queries) == 0
        for rows in blocks(len(queries), BLOCK):
            some = np.flatnonzero(~zero[rows])
            if len(some):
                positions = some + rows.start
                index[positions], best = self._take(np.asarray(queries[rows])[some], positions, hits)
                score[positions] = as_scores(best)
            release(self._graphed.vectors, 0, len(self._graphed.vectors))
        self._seen += len(queries)
        return index, score

    def _take(self, queries: Vectors, positions: Index, hits: Hits | None) -> tuple[Index, Floats]:
        found = Found.of(self._graphed, queries, CANDIDATES, self._ef)
        self._note_nearest(found, positions)
        if hits is not None and self._threshold is not None:
            self._find_hits(found, queries, positions, hits, self._threshold)
        return found.best()

    def _note_nearest(self, found: Found, positions: Index) -> None:
        from auditkit.scoring.vectors.kernels import improve_pairs

        each = np.repeat(positions, found.rows.shape[1])
        improve_pairs(each, found.rows.ravel(), found.exact.ravel(), self._seen, self._score, self._index)

    def _find_hits(self, found: Found, queries: Vectors, positions: Index, hits: Hits, threshold: float) -> None:
        """The pairs that reach the threshold; where even the last neighbour does, ask for more, up to ``MOST``."""
        asked = found.rows.shape[1]
        reached = as_scores(found.exact) >= threshold
        open_ended = reached.all(axis=1) & (asked < len(self._graphed.graph))
        done = ~open_ended | (asked >= MOST)
        self._cut += int((open_ended & done).sum())
        at, neighbour = np.nonzero(reached & done[:, None])
        hits(*self._graphed.copies(positions[at], found.rows[at, neighbour]))
        rest, more = np.flatnonzero(~done), min(MOST, MORE * asked)
        for part in blocks(len(rest), PAIRS // more):
            some = rest[part]
            found = Found.of(self._graphed, queries[some], more, self._ef)
            self._note_nearest(found, positions[some])
            self._find_hits(found, queries[some], positions[some], hits, threshold)

    @property
    def nearest(self) -> tuple[Index, Scores]:
        index, score = self._index[self._graphed.first], self._score[self._graphed.first]
        return index, np.where(index < 0, np.float32(-np.inf), as_scores(score)).astype(np.float32)

    @property
    def use(self) -> IndexUse:
        if not self._cut:
            return self._use
        reason = f"{self._use.reason}; {self._cut} queries have more than {MOST} records within the threshold"
        return replace(self._use, reason=reason, cut=self._cut)
