"""One score for a pair of unit vectors, whichever way it is computed, and how far a matrix product can be from it.

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
from auditkit.scoring.vectors.mapped import release

ROWS, COLUMNS = 1024, 1024  # of one product: 4 MiB, which stays in the cache until it has been looked through
READ_AT_ONCE = 8192  # rows
HALF_ULP = float(np.finfo(np.float32).epsneg)  # relative error of one float32 rounding

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


def row_norms(vectors: Vectors) -> Floats:
    """(n,) lengths of the rows; a memory-mapped array is read once through.

    Raises:
        AuditkitError: a value that is not a finite number, which would compare as neither near nor far.
    """
    from auditkit.scoring.vectors.kernels import norms

    found = np.empty(len(vectors), np.float64)
    for rows in blocks(len(vectors), READ_AT_ONCE):
        norms(rows_of(vectors, rows), found[rows])
        release(vectors, rows.start, rows.stop)
    if not np.isfinite(found).all():
        raise AuditkitError(
            "a vector holds values that are not finite numbers", "check the embedder: its weights or its precision"
        )
    return found


def blocks(count: int, size: int) -> Iterator[slice]:
    """0 to ``count`` in ranges of ``size``, the last one shorter."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def rows_of(vectors: Vectors, rows: slice) -> Vectors:
    """These rows as contiguous float32 that nobody writes to; no copy where they are that already."""
    block = np.ascontiguousarray(vectors[rows], dtype=np.float32).view(np.ndarray)
    block.flags.writeable = False  # read-only as what is mapped: the compiled loops know one type of block
    return block


def exact_scores(queries: Vectors, vectors: Vectors, rows: Index, columns: Index) -> Floats:
    """(k,) float64 dot products of the pairs (queries[rows[i]], vectors[columns[i]]), independent of the batch."""
    from auditkit.scoring.vectors.kernels import dots

    found = np.empty(len(rows), np.float64)
    everything = slice(0, None)
    dots(rows_of(queries, everything), rows_of(vectors, everything), np.asarray(rows), np.asarray(columns), found)
    return found


def as_scores(products: Floats) -> Scores:
    """Dot products as scores: float32, and within [-1, 1] for unit rows."""
    return np.clip(products, -1.0, 1.0).astype(np.float32)


def first_of_equal_rows(vectors: Vectors) -> Index:
    """(m,) for each row the lowest index of an identical row: what a tie between exact duplicates resolves to."""
    from auditkit.scoring.vectors.kernels import fingerprints, keep_equal

    prints = np.empty(len(vectors), np.uint64)
    for rows in blocks(len(vectors), READ_AT_ONCE):
        fingerprints(rows_of(vectors, rows).view(np.uint32), prints[rows])
        release(vectors, rows.start, rows.stop)
    _, lowest, group = np.unique(prints, return_index=True, return_inverse=True)
    first: Index = lowest.astype(np.int64)[group]
    keep_equal(rows_of(vectors, slice(0, None)), first)
    release(vectors, 0, len(vectors))
    return first
