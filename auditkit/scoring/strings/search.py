"""Which pairs of texts could be similar, without measuring them all.

Almost no pair is. Bounds of rising cost leave the others out: the lengths, the counts of characters and of two and
three in a row, and an edit distance that ends as soon as it shows too much (``string_kernels``). None of them can lose
a match. What remains is for the caller to measure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auditkit.scoring.base import Index
from auditkit.scoring.strings.codes import BLOCK, CLASSES, SINGLES, Integers, SortedTexts
from auditkit.scoring.strings.pairs import Bar, as_similarity, distances, reaches

if TYPE_CHECKING:
    from auditkit.scoring.strings.kernels import Work
    from auditkit.scoring.strings.sieve import Demand, Rows

TILE = 128  # records whose counts stay in the processor's cache
ROWS = 1 << 15  # left texts at once: their counts take 170 MB
FEW = 1 << 16  # pairs that are not worth a second thread
FEW_AT_ONCE = 64  # pairs that would connect trees
PROBE = 8  # of so many tiles one shows which bounds are worth their time
WORTH = (0.02, 0.02, 0.05, 0.1)  # share of the pairs that a bound has to rule out to be worth its time
NO_TOTAL = np.zeros((0, SINGLES), np.int32)
STAGES = ("single", "pair", "triple", "columns")


@dataclass(frozen=True)
class Wanted:
    """What still matters for each row: a better match, or one to a text that it is not yet connected with.

    The caller writes into the arrays between two pairs that he is given. Reading an older state is harmless.
    """

    best_edits: Integers  # (rows,) of the best match so far
    best_full: Integers  # (rows,) the edits that its lengths can take at most; 0 without a match
    best_position: Integers  # (rows,) its position; among equals the lowest counts
    place: Integers  # (rows,) the row's own place among the right texts, or -1
    root: Integers  # (right texts,) a union-find forest: pairs of one tree are left out, and so are pairs
    # with a right text at or before the row's own place

    @classmethod
    def best(cls, rows: int) -> Wanted:
        """The best match of each row."""
        return cls._nothing_found(np.full(rows, -1, np.int64), np.zeros(0, np.int64))

    @classmethod
    def connections(cls, places: Integers, root: Integers) -> Wanted:
        """Pairs that would connect two trees."""
        return cls._nothing_found(places, root)

    @classmethod
    def _nothing_found(cls, places: Integers, root: Integers) -> Wanted:
        edits, full, position = (np.zeros(len(places), np.int64) for _ in range(3))
        return cls(edits, full, position, places, root)


def in_threads(rows: int, columns: int, work: Callable[[slice], None]) -> None:
    """Call ``work`` with shares of the rows, one a core. Machine code runs side by side."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = 1 if rows * columns < FEW else min(cores, rows)
    shares = [slice(start, None, threads) for start in range(threads)]
    if threads == 1:
        work(shares[0])
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, shares))


@dataclass(frozen=True)
class Comparison:
    """Two sides, encoded by one alphabet, and what is asked of their pairs."""

    left: SortedTexts
    right: SortedTexts
    positions: Integers  # (right texts,) what decides between equals: the lowest
    bar: Bar
    wanted: Wanted

    def measured(self, rows: Index, columns: Index) -> tuple[Index, Index, Integers, Integers]:
        """Those of these pairs that reach the bar, their edits, and the edits that their lengths can take at most."""
        full = self.bar.full_distance(self.left.lengths[rows], self.right.lengths[columns])
        allowed = self.bar.allowed_edits(full)
        texts = [self.left.texts[i] for i in rows.tolist()], [self.right.texts[j] for j in columns.tolist()]
        edits = distances(*texts, self.bar.measure, int(allowed.max(initial=0)), threads=1)
        reached = (edits <= allowed) & reaches(as_similarity(edits, full), self.bar.floor)
        return rows[reached], columns[reached], edits[reached], full[reached]


def candidate_pairs(comparison: Comparison, stages: Sequence[str] = STAGES) -> Iterator[tuple[Index, Index]]:
    """The pairs (position in ``left``, position in ``right``) that may still matter, in bounded numbers.

    Args:
        stages: the bounds to use besides the lengths; those that rule nothing out here are skipped anyhow.
    """
    rows, columns = len(comparison.left.texts), len(comparison.right.texts)
    for top in range(0, rows if columns else 0, ROWS):
        search = _Search(comparison, slice(top, min(top + ROWS, rows)), stages)
        for edge in range(0, columns, TILE):
            yield from search.tile(edge, min(edge + TILE, columns))


class _Search:
    """Rows of the left side against the right side, tile after tile."""

    def __init__(self, comparison: Comparison, rows: slice, stages: Sequence[str]) -> None:
        from auditkit.scoring.strings.sieve import Rows, count_kinds

        left, right, wanted = comparison.left, comparison.right, comparison.wanted
        self._right, self._positions, self._rows = right, comparison.positions, rows
        counts = left.alphabet.profiles(left.codes, rows.start, rows.stop)
        total = np.zeros((rows.stop - rows.start, SINGLES), np.int32)
        count_kinds(left.codes.classes, left.codes.starts, rows.start, rows.stop, total)
        self._left: Rows = Rows(left.codes.classes, left.codes.starts, self._positions, *counts, total, rows.start)
        self._first, self._last = _windows(left.lengths, right.lengths, comparison.bar)
        np.maximum(self._first, wanted.place + 1, out=self._first)
        self._demand = _demand(comparison.bar, wanted, self._first, self._last)
        self._bounds = _Bounds(stages)
        self._work = _memory(int(right.lengths[-1]))
        # What connects two trees makes most other pairs of theirs needless: few at once.
        self._most = FEW_AT_ONCE if len(wanted.root) else 8 * (rows.stop - rows.start)
        self._hits = np.empty((self._most + 8, 2), np.int64)

    def tile(self, edge: int, end: int) -> Iterator[tuple[Index, Index]]:
        """The candidates among the right texts from ``edge`` to before ``end``."""
        from auditkit.scoring.strings.sieve import Tile, sift, sweep

        rows = self._rows
        top = rows.start + int(np.searchsorted(self._last[rows], edge, "right"))
        bottom = rows.start + int(np.searchsorted(self._first[rows], end, "left"))
        if top >= bottom:
            return
        right = self._records(edge)
        masks = np.zeros((-(-(end - edge) // 8), bottom - top), np.uint8)
        tile = Tile(top, bottom, edge, end, *self._bounds.of_tile(), masks)
        sift(self._left, right, self._demand, tile)
        group, row = 0, top
        while group < len(masks):
            group, row, found = sweep(
                self._left, right, self._demand, tile, group, row, self._most, self._work, self._hits
            )
            if found:
                pairs = self._hits[:found].copy()
                yield pairs[:, 0], pairs[:, 1]

    def _records(self, edge: int) -> Rows:
        from auditkit.scoring.strings.sieve import Rows

        number = edge // BLOCK
        codes = self._right.codes
        return Rows(codes.classes, codes.starts, self._positions, *self._right.block(number), NO_TOTAL, number * BLOCK)


class _Bounds:
    """Which bounds to use: those that showed on the last probing tile to be worth their time."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._allowed = np.array([name in stages for name in STAGES], np.int64)
        self._use, self._seen, self._tiles = self._allowed.copy(), np.zeros(6, np.int64), 0

    def of_tile(self) -> tuple[Integers, Integers]:
        """The bounds to use on the next tile, and where to count what they do."""
        if self._tiles % PROBE == 1:
            came, went = self._seen[[0, 1, 2, 4]], self._seen[[1, 2, 3, 5]]
            self._use = self._allowed * ((came - went >= np.array(WORTH) * came) | (came < 1000))
        probing = self._tiles % PROBE == 0
        self._tiles += 1
        self._seen = np.zeros(6, np.int64)
        return (self._allowed if probing else self._use), self._seen


def _windows(lengths: Integers, others: Integers, bar: Bar) -> tuple[Integers, Integers]:
    """For each row the range of positions in the sorted ``others`` outside which no length allows this similarity."""
    ratio = bar.length_ratio()
    shortest = np.floor(lengths * ratio - 1e-6)
    longest = np.ceil(lengths / ratio + 1e-6) if ratio > 0 else np.full(len(lengths), np.inf)
    first, last = np.searchsorted(others, shortest, "left"), np.searchsorted(others, longest, "right")
    return first.astype(np.int64), last.astype(np.int64)


def _demand(bar: Bar, wanted: Wanted, first: Integers, last: Integers) -> Demand:
    from auditkit.scoring.strings.sieve import Demand

    return Demand(
        bar.lowest,
        bar.measure == "indel",
        first,
        last,
        wanted.best_edits,
        wanted.best_full,
        wanted.best_position,
        wanted.place,
        wanted.root,
    )


def _memory(longest: int) -> Work:
    from auditkit.scoring.strings.kernels import GRID, KINDS, STATE, Work
    from auditkit.scoring.strings.lanes import LANES
    from auditkit.scoring.strings.sieve import LONG

    words = ((min(max(longest, 1), LONG) + 63) // 64) | 1
    return Work(
        lengths=np.zeros(LANES, np.int64),
        places=np.zeros(CLASSES * words * LANES, np.int64),
        tails=np.zeros(((words * 64 // GRID + 1) * LANES, KINDS), np.uint8),
        allowed=np.zeros(LANES, np.int64),
        flat=np.zeros(words * LANES, np.int64),
        fall=np.zeros(words * LANES, np.int64),
        state=np.zeros(STATE, np.int64),
        head=np.zeros(KINDS, np.int64),
        tail=np.zeros((1, KINDS), np.uint8),
        ignored=np.zeros(6, np.int64),
    )
