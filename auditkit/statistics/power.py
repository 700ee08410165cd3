"""How much evidence a gate needs: what `check` works out before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from auditkit.statistics.intervals import (
    FEW_CLUSTERS,
    clopper_pearson,
    difference_interval,
    poisson_interval,
    singly_hit_interval,
)

# A raw rate contains the calibration's false positives; a limit closer to them than this cannot tell a leak from them.
RAW_RATE_MARGIN = 5.0
# A rule that needs more hits than this to fail at twice its limit is held up by what more samples cannot mend.
MOST_HITS = 300


def rate_bound(n: int, confidence: float = 0.95) -> float:
    """The most that a rate can be, one-sided, when n samples showed no hit: 1 - 0.05^(1/n), about 3/n.

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError("a bound needs at least one sample")
    return -math.expm1(math.log1p(-confidence) / n)


def samples_for_rate(limit: float, confidence: float = 0.95) -> int:
    """The fewest samples with which a rate can pass a limit: 0 hits put the two-sided upper end at or under it.

    This is the interval that the gate uses, so it asks for more than the one-sided ``rate_bound``.

    Raises:
        ValueError: a limit that no number of samples can reach (0 or less), or not below 1.
    """
    if not 0 < limit < 1:
        raise ValueError("a limit lies above 0 and below 1")
    n = max(1, math.ceil(math.log((1 - confidence) / 2) / math.log1p(-limit)) - 1)
    while clopper_pearson(0, n, confidence)[1] > limit:
        n += 1
    return n


def controls_for_fpr(rate: float, confidence: float = 0.95) -> int:
    """The fewest controls that can set a threshold at this false positive rate: 368 for 1 %."""
    return samples_for_rate(rate, confidence)


def best_rate_high(samples: int, confidence: float = 0.95) -> float:
    """The upper end of a rate's interval in the best case: no hit in so many scored generations."""
    return clopper_pearson(0, samples, confidence)[1]


def best_coverage_high(clusters: int, confidence: float = 0.95) -> float:
    """The upper end of coverage in the best case: none of so many clusters hit."""
    return min(1.0, poisson_interval(0, confidence)[1] / clusters) if clusters else 1.0


def best_adjusted_coverage_high(records: int, evaluation_controls: int, confidence: float = 0.95) -> float:
    """The upper end of adjusted coverage in the best case: no record and no evaluation control hit."""
    high = best_coverage_high(records, confidence)
    control_high = best_coverage_high(evaluation_controls, confidence)
    return difference_interval(0, 0, high, 0, 0, control_high)[1] if evaluation_controls else 1.0


def best_adjusted_rate_high(samples: int, confidence: float = 0.95) -> float:
    """The upper end of the adjusted semantic rate in the best case: no generation hits a member or a control."""
    high = best_rate_high(samples, confidence)
    return difference_interval(0, 0, high, 0, 0, high)[1]


def records_for_coverage(limit: float, confidence: float = 0.95) -> int:
    """The fewest records whose coverage can pass a limit: 369 for 1 %.

    Raises:
        ValueError: a limit of 0 or less.
    """
    if not limit > 0:
        raise ValueError("a limit lies above 0")
    return math.ceil(poisson_interval(0, confidence)[1] / limit)


def smallest_raw_rate_limit(calibration_fpr: float) -> float:
    """The smallest limit on a raw (unadjusted) rate that a threshold calibrated at this rate can be held to."""
    return RAW_RATE_MARGIN * calibration_fpr


@dataclass(frozen=True)
class LimitTest:
    """How a rule fails: so many hits, and the lower end of their interval is above the limit.

    ``fails(hits, size)``: True from some number of hits up, which grows with the size; ``chance(hits, size)``: that at
    least so many come, 0 of more than there are. ``size``: generations of a rate, distinct records of coverage.
    """

    fails: Callable[[int, int], bool]
    chance: Callable[[int, int], float]

    def power(self, size: int) -> float:
        """The chance that the rule fails at this size."""
        return self.chance(_least(lambda hits: self.fails(hits, size), size + 1), size)

    def size_for(self, power: float) -> int | None:
        """The smallest size from which on the chance to fail never falls under ``power``; None where none does.

        More of a size that needs one hit more can lower the chance a little: it rises like a saw.
        """
        hits, end = 0, 0  # up to this size, so many hits fail the rule
        while hits < MOST_HITS:
            start, hits = end + 1, hits + 1
            end = self._most(hits)
            if end >= start and self.chance(hits + 1, end + 1) >= power:
                return start + _least(lambda more: self.chance(hits, start + more) >= power, end - start + 1)  # noqa: B023
        return None

    def _most(self, hits: int) -> int:
        """The largest size at which so many hits fail the rule; 0 where they never do."""
        return hits - 1 + _least(lambda more: not self.fails(hits, hits + more)) if self.fails(hits, hits) else 0


def rate_test(limit: float, rate: float, *, adjusted: bool = False, confidence: float = 0.95) -> LimitTest:
    """Of a rate over independent samples, Clopper-Pearson, by the exact binomial distribution.

    Args:
        limit: of the rule, above 0.
        rate: the true one that is to be found out, below 1.
        adjusted: the rate against controls is taken off, and no sample hits a control.

    Raises:
        ValueError: a limit or a rate outside (0, 1).
    """
    if not (0 < limit < 1 and 0 < rate < 1):
        raise ValueError("a limit and a rate lie above 0 and below 1")

    def fails(hits: int, samples: int) -> bool:
        if hits > samples:
            return False
        low = clopper_pearson(hits, samples, confidence)[0]
        noise = clopper_pearson(0, samples, confidence)[1] if adjusted else 0.0
        share = hits / samples
        return difference_interval(share, low, share, 0, 0, noise)[0] > limit

    return LimitTest(fails, lambda hits, samples: _at_least(hits, samples, rate))


def coverage_test(
    limit: float, coverage: float, evaluation_controls: int | None = None, confidence: float = 0.95
) -> LimitTest:
    """Of a share of distinct records, by the interval of the gate where each was hit once, the widest that it can be.

    At best: where records come out several at a time (``forecast.hits_together``), their count scatters more, its
    interval is wider, and the rule fails less often.

    Args:
        limit: of the rule, above 0.
        coverage: the true one that is to be found out, at most 1.
        evaluation_controls: of adjusted coverage; none of them is hit. None: coverage itself.

    Raises:
        ValueError: a limit or a coverage outside (0, 1].
    """
    if not (0 < limit <= 1 and 0 < coverage <= 1):
        raise ValueError("a limit and a coverage lie above 0 and are at most 1")
    noise = 0.0 if evaluation_controls is None else best_coverage_high(evaluation_controls, confidence)

    def fails(hits: int, records: int) -> bool:
        if hits > records:
            return False
        share, low = hits / records, _least_low(hits, records, confidence) / records
        return difference_interval(share, low, share, 0, 0, noise)[0] > limit

    return LimitTest(fails, lambda hits, records: _poisson_at_least(hits, records, coverage))


def _least_low(hits: int, records: int, confidence: float) -> float:
    """The lower end for so many hits or more: it falls a little where the interval of few hits ends."""
    low = singly_hit_interval(hits, records, confidence)[0]
    if hits < FEW_CLUSTERS <= records - FEW_CLUSTERS:
        low = min(low, singly_hit_interval(FEW_CLUSTERS, records, confidence)[0])
    return low


def records_for_auc(limit: float, confidence: float = 0.95) -> int:
    """The fewest members, with as many controls, where an AUC of one half has its interval under a limit.

    The variance of an AUC of scores that tell nothing is (2m + 1) / (12 m^2), its interval symmetric on the logit
    scale [DeLong 1988; Hanley & McNeil 1982].

    Raises:
        ValueError: a limit at or under a half, or not below 1.
    """
    from scipy.special import logit, ndtri

    if not 0.5 < limit < 1:
        raise ValueError("a limit on an AUC lies above a half and below 1")
    # 1/4 is the slope of the logit's inverse at a half.
    reach = float(ndtri((1 + confidence) / 2)) * 4 / float(logit(limit))
    return 1 + _least(lambda n: reach**2 * (2 * n + 3) / (12 * (n + 1) ** 2) <= 1)


def _at_least(hits: int, samples: int, rate: float) -> float:
    """The chance of at least so many hits in independent samples."""
    from scipy.special import betainc

    if hits > samples:
        return 0.0
    return float(betainc(hits, samples - hits + 1, rate)) if hits else 1.0


def _poisson_at_least(hits: int, records: int, coverage: float) -> float:
    """The chance of at least so many distinct records, their count taken for a Poisson one."""
    from scipy.special import gammainc

    if hits > records:
        return 0.0
    return float(gammainc(hits, coverage * records)) if hits else 1.0


def _least(true_from: Callable[[int], bool], most: int | None = None) -> int:
    """The least number from 0 up of which it is true; it stays true from there on. ``most`` where it never is."""
    low, high = 0, 1
    while (most is None or high < most) and not true_from(high):
        low, high = high, 2 * high
    high = high if most is None else min(high, most)
    if low == 0 and true_from(0):
        return 0
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if true_from(middle) else (middle, high)
    return high
