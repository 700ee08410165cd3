"""The mean of a few independent measurements, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's two-sided interval of the mean of independent, roughly normal measurements.

    Args:
        values: two or more finite numbers, such as one effect a seed.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: fewer than two values, one that is not finite, or a confidence outside (0, 1).
    """
    from scipy.special import stdtrit

    if not 0 < confidence < 1:
        raise ValueError("the confidence must lie between 0 and 1")
    if len(values) < 2 or not all(map(math.isfinite, values)):
        raise ValueError("an interval of a mean needs at least two finite values")
    count, mean = len(values), math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    reach = float(stdtrit(count - 1, (1 + confidence) / 2)) * math.sqrt(variance / count)
    return mean - reach, mean + reach


def share_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the mean of independent values in [0, 1], however they are distributed.

    The empirical Bernstein bound on each side [Maurer and Pontil 2009, theorem 4], cut to [0, 1]. It holds at any
    number of values, and where all of them are 1 it does not shrink to a point as Student's does.

    Raises:
        ValueError: no value, one outside [0, 1], or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError("the confidence must lie between 0 and 1")
    if not values or not all(0 <= value <= 1 for value in values):
        raise ValueError("an interval of a share needs values in [0, 1]")
    count, mean = len(values), math.fsum(values) / len(values)
    if count == 1:
        return 0.0, 1.0
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    logarithm = math.log(4 / (1 - confidence))
    reach = math.sqrt(2 * variance * logarithm / count) + 7 * logarithm / (3 * (count - 1))
    return max(0.0, mean - reach), min(1.0, mean + reach)
