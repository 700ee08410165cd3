"""Exact search: every query is compared with every vector, once, and that one product answers all that is asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Self

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import Hits, Index, IndexUse, Scores, Search, Vectors
from auditkit.scoring.threads import in_threads
from auditkit.scoring.vectors import products
from auditkit.scoring.vectors.mapped import release
from auditkit.scoring.vectors.nomination import Float32, Nominator, Operand
from auditkit.scoring.vectors.products import (
    Floats,
    as_scores,
    blocks,
    check_vectors,
    exact_scores,
    row_norms,
    rows_of,
)

QUERIES = 8192  # of one block
FEW = 1 << 22  # pairs that are not worth a second thread


@dataclass(frozen=True)
class Nearest:
    """The best partner of each row so far: its number, -1 before there is any, and exact score, -inf before."""

    index: Index
    score: Floats
    zero: npt.NDArray[np.bool_]  # rows that score 0 with everything

    @classmethod
    def none_yet(cls, norms: Floats) -> Self:
        """Before the first partner of rows of these lengths."""
        return cls(np.full(len(norms), -1, np.int64), np.full(len(norms), -np.inf), norms == 0)

    def begin(self) -> None:
        """Partners are coming, from number 0: rows of zeros have found theirs."""
        self.index[self.zero], self.score[self.zero] = 0, 0.0

    def part(self, rows: slice) -> Nearest:
        """Of some rows; what is written to it is written here."""
        return Nearest(self.index[rows], self.score[rows], self.zero[rows])

    @property
    def scores(self) -> Scores:
        """(n,) float32; -inf where there is no partner."""
        return np.where(self.index < 0, np.float32(-np.inf), as_scores(self.score)).astype(np.float32)


class EveryPair(Search):
    """What every exact search keeps, however it forms its products.

    Args:
        vectors: (m, d) rows of unit norm, in memory or mapped from disk.
        norms: (m,) their lengths.
        threshold: from which a pair is a hit; None where nobody asks for hits.
        nearest_queries: keep the nearest query of each vector as well.
        reason: why exact search was chosen.
    """

    def __init__(
        self, vectors: Vectors, norms: Floats, *, threshold: float | None, nearest_queries: bool, reason: str
    ) -> None:
        self._vectors = vectors
        self._norms = norms
        self._threshold = None if threshold is None else float(np.float32(threshold))
        self._of_vectors = Nearest.none_yet(norms) if nearest_queries else None
        self._seen = 0
        self._reason = reason

    @abstractmethod
    def _compare(self, queries: Vectors, norms: Floats, found: Nearest, hits: Hits | None) -> None:
        """Every query, of these lengths, with every vector: who is nearest, and what is a hit."""

    def add(self, queries: Vectors, hits: Hits | None = None) -> tuple[Index, Scores]:
        check_vectors(queries, self._vectors)
        norms = row_norms(queries)
        found = Nearest.none_yet(norms)
        if len(queries) and len(self._vectors):
            found.begin()
            if self._of_vectors and not self._seen:
                self._of_vectors.begin()
            self._compare(queries, norms, found, hits)
        self._seen += len(queries)
        return found.index, found.scores

    @property
    def nearest(self) -> tuple[Index, Scores]:
        if self._of_vectors is None:
            raise ValueError("this search keeps no nearest query")
        return self._of_vectors.index, self._of_vectors.scores

    @property
    def use(self) -> IndexUse:
        return IndexUse("exact", 1.0, 0, self._reason or "every pair was compared")


class ExactSearch(EveryPair):
    """Queries in blocks against vectors, on the CPU. ``nominator``: how products are formed."""

    def __init__(
        self,
        vectors: Vectors,
        threshold: float | None = None,
        *,
        nearest_queries: bool = True,
        reason: str = "",
        nominator: Callable[[Vectors, float], Nominator] = Float32,
    ) -> None:
        norms = row_norms(vectors)
        super().__init__(vectors, norms, threshold=threshold, nearest_queries=nearest_queries, reason=reason)
        self._nominator = nominator(vectors, float(norms.max(initial=0.0)))

    def _compare(self, queries: Vectors, norms: Floats, found: Nearest, hits: Hits | None) -> None:
        block = _Block(self, queries, norms, found, hits)
        starts = range(0, len(self._vectors), products.COLUMNS)
        in_threads(block.work, starts, most=1 if len(queries) * len(self._vectors) <= FEW else None)


class _Block:
    """One block of queries against all vectors; threads take columns of it."""

    def __init__(self, search: ExactSearch, queries: Vectors, norms: Floats, found: Nearest, hits: Hits | None) -> None:
        self._search, self._found, self._hits = search, found, hits
        longest = float(norms.max())
        self._rows = [(rows, rows_of(queries, rows)) for rows in blocks(len(queries), products.ROWS)]
        self._operands = [search._nominator.queries(left, longest) for _, left in self._rows]
        self._lock = Lock()

    def work(self, tasks: Iterator[int]) -> None:
        buffers = _Buffers(self._search._nominator)
        vectors, both = self._search._vectors, self._search._of_vectors is not None
        for start in tasks:
            columns = slice(start, min(start + products.COLUMNS, len(vectors)))
            right, operand = rows_of(vectors, columns), self._search._nominator.vectors(columns)
            for (rows, left), queries in zip(self._rows, self._operands, strict=True):
                tile = buffers.product(queries, operand, left, right, both=both)
                with self._lock:  # what follows is brief: few rows and columns have anything to improve
                    self._take(tile, rows, columns)
            release(vectors, columns.start, columns.stop)

    def _take(self, tile: _Tile, rows: slice, columns: slice) -> None:
        tile.improve_rows(self._found.part(rows), columns.start)
        if self._search._of_vectors:
            tile.improve_columns(self._search._of_vectors.part(columns), rows.start + self._search._seen)
        if self._hits is not None and self._search._threshold is not None:
            found = tile.reaching(self._search._threshold)
            self._hits(found[0] + rows.start, found[1] + columns.start)


@dataclass(frozen=True)
class _Tile:
    """A product with its largest values, the rows that it is of, and how far it can be from their exact scores."""

    products: Vectors
    of_rows: Vectors
    of_columns: Vectors
    left: Vectors
    right: Vectors
    bound: float

    def improve_rows(self, best: Nearest, first: int) -> None:
        """Take what is nearer than the best vectors so far; ``first``: the first column's number."""
        from auditkit.scoring.vectors.kernels import improve_rows

        # Both the nominee and what it is measured against can be off.
        improve_rows(
            self.products, self.of_rows, best.zero, self.left, self.right, first, best.score, best.index, 2 * self.bound
        )

    def improve_columns(self, best: Nearest, first: int) -> None:
        """Take what is nearer than the best queries so far; ``first``: the first row's number."""
        from auditkit.scoring.vectors.kernels import improve_columns

        improve_columns(
            self.products,
            self.of_columns,
            best.zero,
            self.left,
            self.right,
            first,
            best.score,
            best.index,
            2 * self.bound,
        )

    def reaching(self, threshold: float) -> tuple[Index, Index]:
        """Rows and columns of the pairs that reach the threshold, by row and then column."""
        from auditkit.scoring.vectors.kernels import count_reaching, reaching

        count = count_reaching(self.products, self.of_rows, np.float32(threshold - self.bound))
        rows, columns = np.empty((2, count), np.int64)
        if count:
            count = reaching(self.products, self.of_rows, self.left, self.right, threshold, self.bound, rows, columns)
        return rows[:count], columns[:count]


class _Buffers:
    """Room for one product, used again and again."""

    def __init__(self, nominator: Nominator) -> None:
        self._nominator = nominator
        self._products = np.empty(products.ROWS * products.COLUMNS, np.float32)

    def product(self, queries: Operand, vectors: Operand, left: Vectors, right: Vectors, *, both: bool) -> _Tile:
        """All pairs of a block of either side; of columns the maxima only where ``both`` ask for them."""
        from auditkit.scoring.vectors.kernels import maxima, row_maxima

        shape = (len(left), len(right))
        product = self._products[: shape[0] * shape[1]].reshape(shape)
        self._nominator.product(queries, vectors, product)
        of_rows, of_columns = np.empty(shape[0], np.float32), np.empty(shape[1], np.float32)
        if both:
            maxima(product, of_rows, of_columns)
        else:
            row_maxima(product, of_rows)
        return _Tile(product, of_rows, of_columns, left, right, self._nominator.bound(queries, vectors))


def exact_best(queries: Vectors, vectors: Vectors) -> tuple[Index, Scores]:
    """For each query its nearest vector, by comparing all; memory-mapped arrays are welcome."""
    from auditkit.scoring.vectors.device_search import exact_search

    return added(exact_search(vectors, len(queries), nearest_queries=False), queries)


def added(search: Search, queries: Vectors) -> tuple[Index, Scores]:
    """What ``search`` finds for these queries, which it is given a block at a time."""
    index, score = np.full(len(queries), -1, np.int64), np.full(len(queries), -np.inf, np.float32)
    for rows in blocks(len(queries), QUERIES):
        index[rows], score[rows] = search.add(queries[rows])
        release(queries, rows.start, rows.stop)
    return index, score


def hits_above(queries: Vectors, vectors: Vectors, threshold: float) -> Iterator[tuple[Index, Index, Scores]]:
    """Every pair whose score reaches the threshold, in blocks of bounded size.

    Yields:
        query index (k,), vector index (k,), exact score (k,) float32, sorted by query and then vector within a block.
        Queries come in order, each may span several blocks of vectors.
    """
    check_vectors(queries, vectors)
    longest = [float(row_norms(side).max(initial=0.0)) for side in (queries, vectors)]
    nominator = Float32(vectors, longest[1])
    buffers = _Buffers(nominator)
    for rows in blocks(len(queries), products.ROWS):
        left = rows_of(queries, rows)
        operand = nominator.queries(left, longest[0])
        for columns in blocks(len(vectors), products.COLUMNS):
            right = rows_of(vectors, columns)
            tile = buffers.product(operand, nominator.vectors(columns), left, right, both=False)
            found = tile.reaching(float(np.float32(threshold)))
            yield found[0] + rows.start, found[1] + columns.start, as_scores(exact_scores(left, right, *found))
            release(vectors, columns.start, columns.stop)
