"""How much evidence a gate needs: what `check` works out before anything runs."""

from __future__ import annotations

import math

from auditkit.statistics.intervals import clopper_pearson, difference_interval, poisson_interval

# A raw rate contains the calibration's false positives; a limit closer to them than this cannot tell a leak from them.
RAW_RATE_MARGIN = 5.0


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
