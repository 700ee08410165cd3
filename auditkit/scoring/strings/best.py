"""The most similar record of each generation by edit distance, exact from a floor up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditkit.scoring.base import Index
from auditkit.scoring.strings.codes import SortedTexts
from auditkit.scoring.strings.near_duplicates import near_duplicate_clusters
from auditkit.scoring.strings.pairs import (
    PAIRS_AT_ONCE,
    Bar,
    Measure,
    Similarities,
    as_similarity,
    distances,
)
from auditkit.scoring.strings.search import Comparison, Wanted, candidate_pairs, in_threads

__all__ = [
    "Measure",
    "Similarities",
    "StringIndex",
    "best_string_matches",
    "exact_similarities",
    "near_duplicate_clusters",
    "similarity",
]


def best_string_matches(
    generations: Sequence[str], records: Sequence[str], measure: Measure = "levenshtein", floor: float = 0.8
) -> tuple[Index, Similarities]:
    """For each generation the most similar record.

    Args:
        generations: n texts.
        records: m texts.
        measure: ``levenshtein`` (1 - distance / longer length) or ``indel`` (1 - distance / sum of lengths, where a
            substitution costs 2), both by character [Barbero 2025, sec. 4.1]. Two empty texts are equal.
        floor: in [0, 1]; what is less similar counts as no match.

    Returns:
        index: (n,) int64, ties to the lowest record; -1 where nothing reaches the floor.
        similarity: (n,) float64, exact; 0 where nothing reaches the floor.

    Raises:
        AuditkitError: an unknown measure, or a floor outside [0, 1].
    """
    return StringIndex(records).best(generations, measure, floor)


def similarity(a: str, b: str, measure: Measure = "levenshtein") -> float:
    """The similarity of two texts, in [0, 1]; two empty texts are equal."""
    return float(exact_similarities([a], [b], measure)[0])


def exact_similarities(a: Sequence[str], b: Sequence[str], measure: Measure = "levenshtein") -> Similarities:
    """(n,) similarities of the pairs (a[i], b[i]), whatever they are: for samples and for what a report shows.

    Raises:
        AuditkitError: an unknown measure.
        ValueError: the two have different lengths.
    """
    if len(a) != len(b):
        raise ValueError("pairs need as many texts on one side as on the other")
    bar = Bar(measure, 0.0)
    found = np.ones(len(a))
    for start in range(0, len(a), PAIRS_AT_ONCE):
        left, right = list(a[start : start + PAIRS_AT_ONCE]), list(b[start : start + PAIRS_AT_ONCE])
        full = bar.full_distance(_lengths(left), _lengths(right))
        found[start : start + len(left)] = as_similarity(distances(left, right, measure), full)
    return found


def _lengths(texts: list[str]) -> Index:
    return np.fromiter(map(len, texts), np.int64, len(texts))


class StringIndex:
    """Records made ready for search, once for any number of blocks of generations."""

    def __init__(self, records: Sequence[str]) -> None:
        self._lowest: dict[str, int] = {}
        for position, text in enumerate(records):
            self._lowest.setdefault(text, position)
        self._sorted = SortedTexts.of(list(self._lowest))
        self._positions = np.array([self._lowest[text] for text in self._sorted.texts], dtype=np.int64)

    def best(
        self, generations: Sequence[str], measure: Measure = "levenshtein", floor: float = 0.8
    ) -> tuple[Index, Similarities]:
        """``best_string_matches`` against these records."""
        bar = Bar(measure, floor)
        distinct = {text: i for i, text in enumerate(dict.fromkeys(generations))}
        # An equal record is the best there is, and its first copy the lowest: no search.
        index = np.array([self._lowest.get(text, -1) for text in distinct], dtype=np.int64)
        best = np.where(index >= 0, 1.0, 0.0)
        unequal = SortedTexts.of([text for text in distinct if text not in self._lowest], self._sorted.alphabet)
        where = np.array([distinct[text] for text in unequal.texts], dtype=np.int64)
        index[where], best[where] = self._search(unequal, bar)
        each = np.array([distinct[text] for text in generations], dtype=np.int64)
        return index[each], best[each]

    def _search(self, queries: SortedTexts, bar: Bar) -> tuple[Index, Similarities]:
        index = np.full(len(queries.texts), -1, np.int64)
        best = np.zeros(len(queries.texts))

        def share(rows: slice) -> None:
            part = queries.part(rows)
            wanted = Wanted.best(len(part.texts))
            found = _Best(Comparison(part, self._sorted, self._positions, bar, wanted))
            for pairs in candidate_pairs(found.comparison):
                found.take(*pairs)
            index[rows], best[rows] = found.matches()

        in_threads(len(queries.texts), len(self._sorted.texts), share)
        return index, best


class _Best:
    """The best match of each row so far; better ones are all that a search still looks for."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def take(self, rows: Index, columns: Index) -> None:
        """Measure these pairs, and keep those that beat what is kept for their row: ties to the lowest record."""
        kept = self.comparison.wanted
        rows, columns, edits, full = self.comparison.measured(rows, columns)
        positions = self.comparison.positions[columns]
        order = np.lexsort((positions, edits / np.maximum(full, 1), rows))
        first = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
        rows, edits, full, positions = rows[first], edits[first], full[first], positions[first]
        # Whole numbers, so that equal similarities are equal: edits / full against those of the kept one.
        now, before = edits * kept.best_full[rows], kept.best_edits[rows] * full
        better = (kept.best_full[rows] == 0) | (now < before)
        better |= (now == before) & (positions < kept.best_position[rows])
        rows = rows[better]
        kept.best_edits[rows], kept.best_full[rows] = edits[better], full[better]
        kept.best_position[rows] = positions[better]

    def matches(self) -> tuple[Index, Similarities]:
        """The positions and similarities; -1 and 0 without a match."""
        kept = self.comparison.wanted
        found = kept.best_full > 0
        similarities = np.where(found, as_similarity(kept.best_edits, kept.best_full), 0.0)
        return np.where(found, kept.best_position, -1), similarities
