"""Blocked products of unit vectors: bounded memory, and one score for a pair whichever way it is computed.

A float32 matrix product rounds a pair's score differently by its place in the block. So products only nominate;
what decides (which row is nearest, who reaches a threshold) is the pair's own dot product in float64, rounded to
float32. Rates over generations and coverage over records therefore agree on every single pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from auditkit.errors import AuditkitError
from auditkit.scoring.base import Index, Scores, Vectors

ROWS, COLUMNS = 1024, 8192  # of one product: 32 MiB
HALF_ULP = float(np.finfo(np.float32).epsneg)  # relative error of one float32 rounding
MANY_TIES = 16  # candidates a row above which repeated columns are looked for; a corpus may be one text many times
RESCORED_NUMBERS = 1 << 22  # float64 numbers that one rescoring holds a side

Floats = npt.NDArray[np.float64]


def check_vectors(queries: Vectors, vectors: Vectors) -> None:
    """Refuse what cannot be compared.

    Raises:
        AuditkitError: not two tables of the same width.
    """
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise AuditkitError(
            f"vectors of shape {queries.shape} cannot be compared with vectors of shape {vectors.shape}",
            "embed both sides with the same embedder",
        )


def finite_block(vectors: Vectors, start: int, stop: int) -> Vectors:
    """These rows in memory, as contiguous float32.

    Raises:
        AuditkitError: a value that is not a finite number, which would compare as neither near nor far.
    """
    block = np.ascontiguousarray(vectors[start:stop], dtype=np.float32)
    if not np.isfinite(block).all():
        raise AuditkitError(
            "a vector holds values that are not finite numbers", "check the embedder: its weights or its precision"
        )
    return block


def exact_scores(queries: Vectors, vectors: Vectors, rows: Index, columns: Index) -> Floats:
    """(k,) float64 dot products of the pairs (queries[rows[i]], vectors[columns[i]]), independent of the batch."""
    step = max(1, RESCORED_NUMBERS // max(1, queries.shape[1]))
    found = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), step):
        chosen = slice(start, start + step)
        left = queries[rows[chosen]].astype(np.float64)
        right = vectors[columns[chosen]].astype(np.float64)
        found[chosen] = np.einsum("ij,ij->i", left, right)
    return found


def as_scores(products: Floats) -> Scores:
    """Dot products as scores: float32, and within [-1, 1] for unit rows."""
    return np.clip(products, -1.0, 1.0).astype(np.float32)


def rounding(queries: Vectors, vectors: Vectors) -> float:
    """How far a float32 product can be from the true one: the bound of a sum of d rounded products, both ways."""
    width = queries.shape[1]
    bound: float = 2 * (width + 2) * HALF_ULP * max(1.0, _longest(queries)) * max(1.0, _longest(vectors))
    return bound


def _longest(vectors: Vectors) -> float:
    longest: float = np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0.0)).item()
    return longest


def product_blocks(queries: Vectors, vectors: Vectors) -> Iterator[tuple[slice, slice, Vectors, Vectors]]:
    """Row range, column range, and the two blocks in memory, rows outermost."""
    check_vectors(queries, vectors)
    for top in range(0, len(queries), ROWS):
        rows = slice(top, min(top + ROWS, len(queries)))
        left = finite_block(queries, rows.start, rows.stop)
        for edge in range(0, len(vectors), COLUMNS):
            columns = slice(edge, min(edge + COLUMNS, len(vectors)))
            yield rows, columns, left, finite_block(vectors, columns.start, columns.stop)


def improve_best(products: Vectors, left: Vectors, right: Vectors, best: Floats, slack: float) -> tuple[Index, Floats]:
    """For each row of a product the best column that may beat ``best``: index (-1 where none does) and exact score.

    Ties go to the lowest column. ``best`` (rows,) holds the exact scores so far, -inf at first.
    """
    # A zero row (an empty text) scores 0 with every column: its first column is as good as any.
    products[~left.any(axis=1), 1:] = -np.inf
    floor = np.maximum(products.max(axis=1).astype(np.float64), best) - slack
    rows, columns = np.nonzero(products >= floor[:, None].astype(np.float32))
    if len(rows) > MANY_TIES * len(left):
        repeated = first_of_equal_rows(right) != np.arange(len(right))
        kept = ~repeated[columns]
        rows, columns = rows[kept], columns[kept]
    exact = exact_scores(left, right, rows, columns)
    index = np.full(len(left), -1, np.int64)
    score = np.full(len(left), -np.inf)
    # Sorted by row, then score downwards, then column: the first of each row is its best.
    order = np.lexsort((columns, -exact, rows))
    first = order[np.flatnonzero(np.r_[True, rows[order][1:] != rows[order][:-1]])] if len(order) else order
    index[rows[first]], score[rows[first]] = columns[first], exact[first]
    return index, score


def first_of_equal_rows(vectors: Vectors) -> Index:
    """(m,) for each row the lowest index of an identical row: what a tie between exact duplicates resolves to."""
    first: dict[bytes, int] = {}
    blocks = (finite_block(vectors, start, start + 8192) for start in range(0, len(vectors), 8192))
    rows = (row.tobytes() for block in blocks for row in block)
    return np.fromiter((first.setdefault(row, i) for i, row in enumerate(rows)), np.int64, len(vectors))
