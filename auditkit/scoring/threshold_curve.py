"""How the rates against members and against controls fall as the threshold rises, over equally many records of each.

Every generation is compared with every record drawn, whatever index the rates of the audit come from: where that is a
graph, the curve lies above them by what the graph missed.

The best of many scores is higher than the best of few, and a long text scores unlike a short one: members are drawn to
as many as there are controls, at random or with the controls' lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.scoring.base import Index, Scores, Vectors
from auditkit.scoring.calibration import HIGHEST_THRESHOLD
from auditkit.scoring.coverage import DRAWS
from auditkit.scoring.vectors.exact_search import exact_best
from auditkit.scoring.vectors.mapped import release
from auditkit.statistics.length_matching import match_lengths

LOWEST, STEP = 0.5, 0.01
GENERATIONS_AT_ONCE = 8192
MOST_PAIRS = 100_000_000_000  # compared for one curve: minutes on two cores; beyond it, generations are thinned out

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DrawnHits:
    """In how many generations the best score against each draw reaches each threshold.

    ``thresholds`` (t,) ascending; ``members`` and ``controls`` (draws, t); ``scored`` generations were searched for;
    ``records`` are in each draw, 0 where there is none to compare. One generation in ``every`` was looked at, and
    ``unscored`` of these were not whole.
    """

    thresholds: Floats
    members: Index
    controls: Index
    scored: int
    records: int
    unscored: int = 0
    every: int = 1

    def at(self, threshold: float) -> tuple[Index, Index]:
        """(draws,) generations that reach one of the thresholds, against members and against controls.

        Raises:
            ValueError: it is none of them.
        """
        (found,) = np.nonzero(self.thresholds == threshold)
        if not found.size:
            raise ValueError("no such threshold was counted")
        return self.members[:, found[0]], self.controls[:, found[0]]


def threshold_grid(threshold: float | None) -> Floats:
    """(t,) ascending thresholds from 0.5 to 1 in steps of 0.01, and the one in use.

    The last is 1 but for the rounding of a float32 score, so that identical texts reach it.
    """
    steps = np.round(np.arange(LOWEST, 1, STEP), 6)
    return np.unique([*steps, HIGHEST_THRESHOLD, *([] if threshold is None else [threshold])])


def length_subsets(members: npt.ArrayLike, controls: npt.ArrayLike, seed: int) -> tuple[Flags, Flags]:
    """Random subsets of both sides that hold equally many records of each stratum of length.

    Args:
        members, controls: (n,) and (m,) lengths.
        seed: of the draws.

    Returns:
        (draws, n) and (draws, m): the strata in the controls' proportions, as many records as both sides allow; no row
        where they cannot be drawn so (``LengthMatch.draw_reason``). Where a side needs no drawing, its rows are all
        the same.
    """
    match = match_lengths(members, controls)
    strata, take = match.strata, match.draw_sizes()
    if not take.size:
        return np.zeros((0, strata.members.size), np.bool_), np.zeros((0, strata.controls.size), np.bool_)
    random = np.random.default_rng([seed, 0x6C656E])
    return _drawn(strata.members, take, random), _drawn(strata.controls, take, random)


def _drawn(strata: Index, take: Index, random: np.random.Generator) -> Flags:
    """(draws, n) so many of each stratum, drawn at random."""
    subsets = np.zeros((DRAWS, strata.size), np.bool_)
    for stratum, size in enumerate(take):
        (inside,) = np.nonzero(strata == stratum)
        for row in subsets:
            row[random.choice(inside, size=size, replace=False)] = True
    return subsets


def count_hits(  # noqa: PLR0917 -- what is asked, of what, and how far
    queries: Vectors, scored: Flags, vectors: Vectors, subsets: Flags, thresholds: Floats, every: int = 1
) -> Index:
    """(draws, t) scored generations whose best score against each subset of the vectors reaches each threshold.

    Args:
        queries: (n, d) of the generations, may be mapped from disk: blocks of them are read, once a draw.
        scored: (n,) which of them count.
        vectors: (m, d) of the records, may be mapped from disk.
        subsets: (draws, m).
        thresholds: (t,) ascending.
        every: only each so-manieth generation is looked at.
    """
    reached = np.zeros((len(subsets), len(thresholds)), np.int64)
    bars = thresholds.astype(np.float32)
    if not len(subsets):
        return reached
    different, same_as = np.unique(subsets, axis=0, return_inverse=True)
    sides = [(subset, np.asarray(vectors[np.flatnonzero(subset)])) for subset in different]
    any_of = np.flatnonzero(different.any(axis=0))
    together = np.asarray(vectors[any_of])
    found = np.zeros((len(different), len(thresholds)), np.int64)
    for start in range(0, len(queries), every * GENERATIONS_AT_ONCE):
        rows = slice(start, start + every * GENERATIONS_AT_ONCE, every)
        block = np.ascontiguousarray(queries[rows][scored[rows]])
        nearest, scores = exact_best(block, together)
        for place, (subset, drawn) in enumerate(sides):
            best = np.sort(_best_of(block, subset[any_of][nearest], scores, drawn, bars[0]))
            found[place] += len(best) - np.searchsorted(best, bars, side="left")
        release(queries, start, min(rows.stop, len(queries)))
    return found[same_as.reshape(-1)]


def _best_of(block: Vectors, has_nearest: Flags, scores: Scores, drawn: Vectors, lowest: np.float32) -> Scores:
    """(n,) best scores against a subset: searched for only where the nearest of all vectors, near enough, is not in it.

    What is below ``lowest`` need not be exact: no threshold is reached.
    """
    open_ = np.flatnonzero(~has_nearest & (scores >= lowest))
    if not len(open_):
        return scores
    best = scores.copy()
    best[open_] = exact_best(block[open_], drawn)[1] if len(drawn) else -np.inf
    return best


def thinning(generations: int, subsets: int, records: int) -> int:
    """Each so-manieth generation is looked at, so that a curve is made in minutes whatever the sizes: mostly 1."""
    return max(1, -(-generations * subsets * records // MOST_PAIRS))
