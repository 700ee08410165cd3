"""What more generations would find: from how many clusters were hit once, twice, ... so far (incidence counts).

A cluster that is hit at rate r in the run so far is hit k times with probability exp(-r) r^k / k!. What clusters hit
once, twice, ... say of those not hit at all is old knowledge [Good 1953; Good & Toulmin 1956; Chao 1987].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import SERIES_TERMS, poisson_interval

# Below this many clusters hit once, a count is compared with a count exactly instead of by a normal interval.
FEW_SINGLETONS = 20

Counts = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """A figure that is not seen yet, with its 95 % interval."""

    value: float
    low: float
    high: float


def hits_together(hit_counts: Counts, first_hit: Counts, generations: int) -> float:
    """How many of the clusters that were hit once come with one generation, beyond what chance brings: 1 or more.

    Where records resemble each other, one generation hits several, and counts of rare clusters scatter as if there
    were so many times fewer of them. This is their design effect [Kish 1965]: over n generations that hit s clusters
    each of those that were hit once, the variance of the sum of s, sum s^2 - (sum s)^2 / n, divided by that sum.

    Args:
        hit_counts: (clusters,) in how many generations each cluster was hit, zeros included.
        first_hit: (clusters,) which generation hit each first; of what was hit once, the only one.
        generations: n, at least 1.
    """
    once = np.asarray(first_hit)[np.asarray(hit_counts) == 1]
    if not len(once):
        return 1.0
    sizes = np.unique(once, return_counts=True)[1]
    return max(1.0, float(np.sum(sizes**2) / np.sum(sizes) - np.sum(sizes) / generations))


@dataclass(frozen=True)
class SameFate:
    """How much more a forecast errs because clusters that came with one generation tend to go on coming together.

    ``pairs`` (SERIES_TERMS,): ordered pairs of clusters hit once, twice, ... that share their first generation and
    their count; ``share``: of all pairs that share their first generation, those with one count, in [0, 1].
    """

    pairs: Floats
    share: float


def same_fate(hit_counts: Counts, first_hit: Counts) -> SameFate:
    """Which clusters a forecast is likely to get wrong together.

    Args:
        hit_counts: (clusters,) in how many generations each cluster was hit, zeros included.
        first_hit: (clusters,) which generation hit each first; anything where there is none.

    Two clusters are forecast with the same error only while the very same generations hit them. Resembling records
    often share one generation and then part: the share of pairs that have not parted yet tells how often.
    """
    counts, first = np.asarray(hit_counts), np.asarray(first_hit)
    hit = counts > 0
    together = _ordered_pairs(first[hit])
    pairs = np.array([_ordered_pairs(first[counts == times]) for times in range(1, SERIES_TERMS + 1)])
    return SameFate(pairs, min(1.0, float(pairs.sum()) / together) if together else 0.0)


def _ordered_pairs(labels: Counts) -> float:
    sizes = np.unique(labels, return_counts=True)[1].astype(np.float64)
    return float(np.sum(sizes * (sizes - 1)))


def unseen_mass(hit_counts: Counts, generations: int, confidence: float = 0.95, *, together: float = 1.0) -> Forecast:
    """How many clusters that no generation hit so far the next one is expected to hit: Good-Turing, Q1 / n.

    Args:
        hit_counts: (clusters,) in how many generations each cluster was hit, zeros included.
        generations: n, at least 1.
        confidence: of the interval.
        together: how many rare clusters come at once (``hits_together``), at least 1.

    Returns:
        Clusters per generation, at least 0. The interval is of the mass that *this* run left unseen: its error has
        the variance (Q1 + 2 Q2) / n^2 [Robbins 1968; Esty 1983], Q1 and Q2 being the clusters hit once and twice; at
        the upper end the part of Q1 is taken from its exact Poisson interval, so that it does not vanish with Q1.

    Raises:
        ValueError: no generation, more hits of a cluster than generations, or ``together`` below 1.
    """
    once, twice = _frequencies(_checked(hit_counts, generations, together))[:2]
    high = together * poisson_interval(once / together, confidence)[1]
    spread = _normal(confidence) * np.sqrt(together * np.array([2.0 * twice, once + 2.0 * twice]))
    return Forecast(
        once / generations,
        # All that can be reached may have been seen, however few of it once: nothing exact keeps the low end up.
        max(0.0, once - float(spread[1])) / generations,
        (once + float(np.hypot(high - once, spread[0]))) / generations,
    )


def reachable_clusters(
    hit_counts: Counts, generations: int, confidence: float = 0.95, *, together: float = 1.0
) -> Forecast:
    """How many clusters the attack can reach at all, at least: the lower bound Chao2, capped at all there are.

    Args and errors as for ``unseen_mass``.

    Returns:
        Clusters, between those seen and all. It is a *lower* bound: where rates differ much between clusters, the
        truth is above its interval [Chao 1987, log-normal interval]. With fewer than two clusters hit once, it is
        what was seen.
    """
    counts = _checked(hit_counts, generations, together)
    seen, ceiling = int(np.count_nonzero(counts)), len(counts)
    once, twice = _frequencies(counts)[:2]
    factor = (generations - 1) / generations
    if twice:
        ratio = once / twice
        extra = factor * once * ratio / 2
        variance = twice * (factor * ratio**2 / 2 + factor**2 * ratio**3 + factor**2 * ratio**4 / 4)
    else:
        extra = factor * once * (once - 1) / 2
        variance = _variance_without_pairs(once, factor, seen + extra)
    if not extra:
        return Forecast(float(seen), float(seen), float(ceiling))
    spread = float(np.exp(_normal(confidence) * np.sqrt(np.log1p(together * variance / extra**2))))
    ends = (seen + extra, seen + extra / spread, seen + extra * spread)
    return Forecast(*(float(min(end, ceiling)) for end in ends))


def _variance_without_pairs(once: float, factor: float, bound: float) -> float:
    """Of Chao2's bias-corrected form, which does without clusters hit twice."""
    spread = factor * once * (once - 1) / 2 + factor**2 * once * (2 * once - 1) ** 2 / 4
    return float(max(0.0, spread - factor**2 * once**4 / (4 * bound))) if bound else 0.0


def forecast_clusters(
    hit_counts: Counts,
    generations: int,
    budget: int,
    confidence: float = 0.95,
    *,
    together: float = 1.0,
    fate: SameFate | None = None,
) -> Forecast:
    """How many distinct clusters the run will have hit when it is continued to ``budget`` generations: Good-Toulmin.

    Args:
        hit_counts: (clusters,) as for ``unseen_mass``.
        generations: of the run so far.
        budget: of the continued run, from ``generations`` to twice that: the series says nothing beyond.
        confidence: of the interval.
        together: as for ``unseen_mass``.
        fate: which of them stay together (``same_fate``); by default all that come together always do, which is
            the most that they can do, and too much where records merely resemble each other.

    Returns:
        Clusters, between those seen and all, as a prediction: the interval is of the *outcome*. With t the added
        share of generations and w_k the binomial weights that tame the series [Efron & Thisted 1976], the number of
        new clusters is sum (-1)^(k+1) w_k t^k Q_k. Cluster by cluster its error has mean 0 up to the weights, so its
        variance is sum (w_k t^k)^2 Q_k + the number itself. Two clusters that the same generations hit err alike and
        add their covariance, those that parted do not. Where few clusters were hit once, the new ones are
        bounded as one Poisson count given another [Nelson 1970].

    Raises:
        ValueError: as for ``unseen_mass``, or a budget outside the range.
    """
    counts = _checked(hit_counts, generations, together)
    if not generations <= budget <= 2 * generations:
        raise ValueError("a run can be extrapolated to at most twice its length")
    seen, unseen = int(np.count_nonzero(counts)), int(np.count_nonzero(counts == 0))
    more = budget / generations - 1
    new, low, high = _new_clusters(_frequencies(counts), more, confidence, together, fate)
    return Forecast(*(float(seen + np.clip(end, 0, unseen)) for end in (new, low, high)))


def _new_clusters(
    frequencies: Floats, more: float, confidence: float, together: float, fate: SameFate | None
) -> tuple[float, float, float]:
    """The series with its prediction interval, not yet clipped to what is left."""
    from scipy.special import bdtrc

    terms = np.arange(1, SERIES_TERMS + 1)
    weights = bdtrc(terms - 1, SERIES_TERMS, 0.5) * more**terms
    new = max(0.0, float(np.sum(np.where(terms % 2 == 1, 1, -1) * weights * frequencies)))
    variance = float(np.sum(weights**2 * frequencies)) + new
    if fate is None:
        variance *= together
    else:
        variance += fate.share * (float(np.sum(weights**2 * fate.pairs)) + (together - 1) * new)
    half_width = _normal(confidence) * variance**0.5
    low, high = new - half_width, new + half_width
    if more and frequencies[0] / together < FEW_SINGLETONS:
        few_low, few_high = _count_given_count(int(frequencies[0] / together), more, confidence)
        low, high = min(low, together * few_low), max(high, together * few_high)
    return new, low, high


def _count_given_count(seen: int, ratio: float, confidence: float) -> tuple[float, float]:
    """Where a Poisson count lies, given one of a mean 1 / ``ratio`` times as large: binomial given their sum."""
    from scipy.special import bdtr

    tail, share = (1 - confidence) / 2, 1 / (1 + ratio)
    later = np.arange(10 * (seen + 10))
    at_most = bdtr(seen, seen + later, share)  # chance of so few first, were the second count this large
    at_least = 1 - bdtr(seen - 1, seen + later, share) if seen else np.ones(len(later))
    possible = later[(at_most > tail) & (at_least > tail)]
    return float(possible.min()), float(possible.max())


def _frequencies(counts: Counts) -> Floats:
    """(SERIES_TERMS,) how many clusters were hit once, twice, ..."""
    small = counts[counts <= SERIES_TERMS].astype(np.int64)
    return np.bincount(small, minlength=SERIES_TERMS + 1)[1:].astype(np.float64)


def _checked(hit_counts: Counts, generations: int, together: float) -> Counts:
    counts = np.asarray(hit_counts)
    if not together >= 1:
        raise ValueError("a generation that hits any cluster hits at least one")
    if generations < 1:
        raise ValueError("a forecast needs at least one generation")
    if len(counts) and not (counts.min() >= 0 and counts.max() <= generations):
        raise ValueError("a cluster is hit by between 0 and all generations")
    return counts


def _normal(confidence: float) -> float:
    """The two-sided quantile of a normal distribution: 1.96 at 95 %."""
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise ValueError("a confidence lies between 0 and 1, such as 0.95")
    return -float(ndtri((1 - confidence) / 2))
