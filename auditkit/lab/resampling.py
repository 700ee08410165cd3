"""Many audits out of one: generations drawn with replacement from those on disk, whose shares are then the truth.

A run of n generations is n independent draws from the model. Draws from a large stored pool are independent draws
from a model whose every probability is known: the share of the pool. So what an interval promises can be checked
without sampling the model a thousand times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import clopper_pearson

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

CELLS_AT_ONCE = 1 << 21  # runs x generations counted at a time


@dataclass(frozen=True)
class Pool:
    """Which units (records, or clusters of them) each stored generation hits, as pairs without repeats.

    ``generation`` and ``unit`` are (hits,) positions below ``generations`` and ``units``.
    """

    generation: Index
    unit: Index
    generations: int
    units: int

    @classmethod
    def of(cls, generation: npt.ArrayLike, unit: npt.ArrayLike, generations: int, units: int) -> Pool:
        """A pool from pairs that may repeat.

        Raises:
            ValueError: no generation, or a position that is not there.
        """
        pairs = np.unique(np.column_stack([np.asarray(generation, np.int64), np.asarray(unit, np.int64)]), axis=0)
        if generations < 1 or (len(pairs) and (pairs.min() < 0 or (pairs.max(axis=0) >= (generations, units)).any())):
            raise ValueError("a pool has generations, and its hits point into it")
        return cls(pairs[:, 0], pairs[:, 1], generations, units)

    def grouped(self, labels: npt.ArrayLike) -> Pool:
        """The same hits, of clusters: ``labels`` (units,) names the cluster of each unit by any whole number."""
        names, places = np.unique(np.asarray(labels), return_inverse=True)
        return Pool.of(self.generation, places[self.unit], self.generations, len(names))

    @property
    def shares(self) -> Floats:
        """(units,) the share of the generations that hit each: its true rate, as far as draws from here go."""
        return np.bincount(self.unit, minlength=self.units) / self.generations

    def expected_distinct(self, draws: int) -> float:
        """Units that so many draws hit at least once, on average: sum of 1 - (1 - share)^n."""
        with np.errstate(divide="ignore"):
            return float(-np.sum(np.expm1(draws * np.log1p(-self.shares))))

    def matrix(self) -> csr_array:
        """(generations, units) ones where a generation hits a unit."""
        from scipy.sparse import csr_array

        ones = np.ones(len(self.unit), np.int64)
        return csr_array((ones, (self.generation, self.unit)), shape=(self.generations, self.units))

    def hit_counts(self, draws: int, runs: int, seed: int) -> npt.NDArray[np.int64]:
        """(runs, units) in how many of its generations each run hit each unit; the same draws for the same seed."""
        hits = self.matrix()
        blocks = [np.asarray(counts @ hits) for counts in drawn(self.generations, draws, runs, seed)]
        return np.concatenate(blocks)

    def summed_generations(self, draws: int, runs: int, seed: int) -> npt.NDArray[np.int64]:
        """(runs, units) the positions of the generations that hit each unit, added up over the draws of ``hit_counts``.

        Of a unit that was hit once this is the generation that did it.
        """
        hits, places = self.matrix(), np.arange(self.generations)
        blocks = [np.asarray((counts * places) @ hits) for counts in drawn(self.generations, draws, runs, seed)]
        return np.concatenate(blocks)

    def first_generations(self, draws: int, runs: int, seed: int) -> npt.NDArray[np.int64]:
        """(runs, units) the generation that hit each unit first in the draws of ``hit_counts``; -1 where none did.

        Counts forget the order of the draws, and every order is as likely: one is drawn for each run.
        """
        random = np.random.default_rng([seed, draws, 0x6F726465])
        first = np.full((runs, self.units), -1, np.int64)
        rows = (row for block in drawn(self.generations, draws, runs, seed) for row in block)
        for row, found in zip(rows, first, strict=True):
            hits = np.flatnonzero(row[self.generation])
            places, times = self.generation[hits], np.full(self.generations, np.inf)
            chosen = np.flatnonzero(row)
            # The earliest of k independent times, for a generation that was drawn k times.
            times[chosen] = -np.expm1(np.log1p(-random.random(len(chosen))) / row[chosen])
            latest_first = np.argsort(-times[places], kind="stable")
            found[self.unit[hits][latest_first]] = places[latest_first]
        return first


def drawn(pool: int, draws: int, runs: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """How often each run drew each generation of a pool, with replacement; (some runs, pool) at a time.

    The same pool, draws, runs and seed give the same counts, so that several figures of one run can be taken from it.
    """
    random = np.random.default_rng([seed, draws, 0x64726177])
    step = max(1, CELLS_AT_ONCE // max(pool, draws))
    for start in range(0, runs, step):
        rows = min(step, runs - start)
        chosen = random.integers(0, pool, (rows, draws)) + pool * np.arange(rows)[:, None]
        yield np.bincount(chosen.ravel(), minlength=rows * pool).reshape(rows, pool)


def hits_of(flags: Flags, draws: int, runs: int, seed: int) -> npt.NDArray[np.int64]:
    """(runs, k) how many drawn generations each run has with each of k flags; ``flags`` is (pool, k)."""
    marked = np.asarray(flags, np.int64)
    return np.concatenate([counts @ marked for counts in drawn(len(flags), draws, runs, seed)])


@dataclass(frozen=True)
class Holding:
    """How often an interval held the truth over resampled runs. ``below`` counts runs whose interval ends under it."""

    truth: float
    runs: int
    below: int
    above: int
    width: float

    @property
    def held(self) -> int:
        """Runs whose interval holds the truth."""
        return self.runs - self.below - self.above

    @property
    def share(self) -> float:
        """Held / runs."""
        return self.held / self.runs

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share itself: so many runs tell it no better."""
        return clopper_pearson(self.held, self.runs)


def holding(truth: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> Holding:
    """Count the runs whose interval (low, high) holds the truth: one for all, or (runs,) an outcome for each.

    Rounding at the last digits decides nothing: an end within 1e-12 of the truth, relative, holds it.

    Raises:
        ValueError: no runs, or an end or a truth that is no number.
    """
    lows, highs = np.asarray(low, np.float64), np.asarray(high, np.float64)
    truths = np.broadcast_to(np.asarray(truth, np.float64), lows.shape)
    if not lows.size or not all(np.isfinite(values).all() for values in (lows, highs, truths)):
        raise ValueError("intervals are checked on finite ends, of at least one run")
    slack = 1e-12 * np.maximum(1.0, np.abs(truths))
    return Holding(
        truth=float(truths.mean()),
        runs=len(lows),
        below=int(np.count_nonzero(highs < truths - slack)),
        above=int(np.count_nonzero(lows > truths + slack)),
        width=float(np.mean(highs - lows)),
    )


def resampled_clusters(clusters: npt.ArrayLike, runs: int, seed: int, stream: int = 0) -> Iterator[tuple[Index, Index]]:
    """Populations of records resampled by near-duplicate cluster, which is what is independent.

    Args:
        clusters: (records,) label of each record's cluster; as many distinct ones are drawn, with replacement.
        runs: populations.
        seed: of the draws.
        stream: keeps populations apart that are resampled in the same run: members and controls.

    Yields:
        (rows,) positions of records, and (rows,) the label of the drawn cluster, drawn twice being two clusters.
    """
    labels = np.unique(np.asarray(clusters), return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    random = np.random.default_rng([seed, stream, 0x726F7773])
    for _ in range(runs):
        chosen = random.integers(0, len(sizes), len(sizes))
        label = np.repeat(np.arange(len(chosen)), sizes[chosen])
        within = np.arange(len(label)) - np.repeat(np.cumsum(sizes[chosen]) - sizes[chosen], sizes[chosen])
        yield order[starts[chosen][label] + within], label
