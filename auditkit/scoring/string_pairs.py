"""Which pairs of texts are similar, without comparing them all.

Almost no pair is. Two lossless bounds leave the rest out: the lengths, and the counts of characters (each edit changes
few of them). What remains is measured exactly, as whole numbers of edits, so that no rounding at the floor can lose or
invent a match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from auditkit.errors import AuditkitError
from auditkit.scoring.base import Index

Measure = Literal["levenshtein", "indel"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

Similarities = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BUCKETS = 96  # kinds of character that are counted apart: code points modulo 96, so each of ASCII has its own
ROWS, COLUMNS = 32, 4096  # of one comparison of counts: they stay in the processor's cache
PAIRS_AT_ONCE = 1 << 18
_SHORT = 16_000  # two texts of this length differ by less than a 16-bit number's worth of characters


@dataclass(frozen=True)
class Bar:
    """What counts as similar: a measure, and the least similarity in [0, 1].

    Raises:
        AuditkitError: an unknown measure, or a floor outside [0, 1].
    """

    measure: Measure
    floor: float

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise AuditkitError(f"no string measure is called {self.measure!r}", f"one of: {', '.join(MEASURES)}")
        if not 0 <= self.floor <= 1:
            raise AuditkitError(f"a similarity floor of {self.floor} is impossible", "give a number from 0 to 1")

    def full_distance(self, a: Integers, b: Integers) -> Integers:
        """The most edits that texts of these lengths can take: what a similarity is relative to."""
        return np.maximum(a, b) if self.measure == "levenshtein" else a + b

    def allowed_edits(self, full: Integers) -> Integers:
        """At least as many edits as the floor allows; what is too many by rounding is dropped by its similarity."""
        allowed: Integers = np.floor((1 - self.floor) * full + 1e-6).astype(np.int64)
        return allowed

    def length_ratio(self) -> float:
        """The least shorter / longer length: at best the shorter text is contained in the longer one.

        The similarity is then s / l (Levenshtein) or 2 s / (s + l) (Indel).
        """
        return self.floor if self.measure == "levenshtein" else self.floor / (2 - self.floor)


@dataclass(frozen=True)
class SortedTexts:
    """Texts by length, with how often each kind of character occurs in them."""

    texts: list[str]
    lengths: Integers  # (n,) characters, ascending
    counts: npt.NDArray[np.int16] | npt.NDArray[np.int32]  # (BUCKETS, n)

    @classmethod
    def of(cls, texts: Sequence[str]) -> SortedTexts:
        """Sort and count."""
        ordered = sorted(texts, key=len)
        lengths = np.array([len(text) for text in ordered], dtype=np.int64)
        kind = np.int16 if lengths.max(initial=0) <= _SHORT else np.int32
        counts = np.zeros((BUCKETS, len(ordered)), kind)
        for position, text in enumerate(ordered):
            points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
            counts[:, position] = np.bincount(points % BUCKETS, minlength=BUCKETS)
        return cls(ordered, lengths, counts)


def similar_pairs(left: SortedTexts, right: SortedTexts, bar: Bar) -> Iterator[tuple[Index, Index, Similarities]]:
    """Every pair that reaches the bar: positions in ``left`` and ``right``, and the similarity, in bounded blocks."""
    for rows, columns in candidate_pairs(left, right, bar):
        yield measured_pairs(left, right, rows, columns, bar)


def measured_pairs(
    left: SortedTexts, right: SortedTexts, rows: Index, columns: Index, bar: Bar
) -> tuple[Index, Index, Similarities]:
    """Those of these pairs that reach the bar, by their exact distance."""
    full = bar.full_distance(left.lengths[rows], right.lengths[columns])
    allowed = bar.allowed_edits(full)
    most = int(allowed.max(initial=0))
    measured = distances([left.texts[i] for i in rows], [right.texts[j] for j in columns], bar.measure, most)
    scores = as_similarity(measured, full)
    reached = (measured <= allowed) & (scores >= bar.floor)
    return rows[reached], columns[reached], scores[reached]


def candidate_pairs(left: SortedTexts, right: SortedTexts, bar: Bar) -> Iterator[tuple[Index, Index]]:
    """The pairs that lengths and character counts do not rule out, at most ``ROWS * COLUMNS`` at a time.

    Where both sides are the same texts, each unordered pair comes at least once, not always twice.
    """
    for top in range(0, len(left.texts), ROWS):
        rows = slice(top, min(top + ROWS, len(left.texts)))
        first, last = _length_window(left.lengths[rows], right.lengths, bar)
        first = max(first, top) if left is right else first
        for edge in range(first, last, COLUMNS):
            columns = slice(edge, min(edge + COLUMNS, last))
            found_rows, found_columns = np.nonzero(_possible(left, right, rows, columns, bar))
            if len(found_rows):
                yield found_rows + rows.start, found_columns + columns.start


def _length_window(lengths: Integers, others: Integers, bar: Bar) -> tuple[int, int]:
    """Range of positions in the sorted ``others`` outside which no length allows this similarity."""
    ratio = bar.length_ratio()
    shortest = np.floor(lengths[0] * ratio - 1e-6)
    longest = np.ceil(lengths[-1] / ratio + 1e-6) if ratio > 0 else np.inf
    return int(np.searchsorted(others, shortest, "left")), int(np.searchsorted(others, longest, "right"))


def _possible(left: SortedTexts, right: SortedTexts, rows: slice, columns: slice, bar: Bar) -> npt.NDArray[np.bool_]:
    """(rows, columns) whether the counts of characters allow this similarity.

    With D the sum of the differences in counts, an insertion or deletion changes D by at most 1 and a substitution
    by at most 2, so Indel >= D; and Levenshtein >= (D + difference of the lengths) / 2.
    """
    a, b = left.counts[:, rows], right.counts[:, columns]
    total = np.zeros((a.shape[1], b.shape[1]), np.promote_types(a.dtype, b.dtype))
    for bucket in range(BUCKETS):
        if a[bucket].any() or b[bucket].any():
            total += np.abs(np.subtract.outer(a[bucket], b[bucket], dtype=total.dtype))
    a_lengths, b_lengths = left.lengths[rows][:, None], right.lengths[columns][None, :]
    allowed = bar.allowed_edits(bar.full_distance(a_lengths, b_lengths))
    if bar.measure == "indel":
        return np.asarray(total <= allowed)
    return np.asarray(total + np.abs(a_lengths - b_lengths) <= 2 * allowed)


def as_similarity(edits: Integers, full: Integers) -> Similarities:
    """1 - edits / full; two empty texts are equal."""
    similarity: Similarities = 1.0 - edits / np.maximum(full, 1)
    return similarity


def distances(a: list[str], b: list[str], measure: Measure, most: int | None = None) -> Integers:
    """(n,) edits between the pairs; above ``most`` any larger number."""
    from rapidfuzz import process
    from rapidfuzz.distance import Indel, Levenshtein

    scorer = (Levenshtein if measure == "levenshtein" else Indel).distance
    found = process.cpdist(a, b, scorer=scorer, score_cutoff=most, workers=-1, dtype=np.int64)
    return np.asarray(found, dtype=np.int64)
