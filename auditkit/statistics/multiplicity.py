"""Several comparisons at once: p-values from intervals, and their correction so that the family errs seldom."""

from __future__ import annotations

from collections.abc import Sequence


def p_from_interval(value: float, low: float, high: float) -> float:
    """The two-sided p-value against 0 of a figure with its 95 % interval, in [0, 1].

    The end nearer to 0 counts: its distance is taken as 1.96 standard errors [Altman & Bland 2011], so that p is under
    0.05 exactly where the interval does not hold 0. An interval of no width says 0 of anything but 0.

    Raises:
        ValueError: the value lies outside its interval, or an end is not finite.
    """
    from scipy.special import ndtr, ndtri

    if not -float("inf") < low <= value <= high < float("inf"):
        raise ValueError("a value lies within its finite interval")
    if value == 0:
        return 1.0
    distance = value - low if value > 0 else high - value
    if distance == 0:
        return 0.0
    return float(2 * ndtr(float(ndtri(0.025)) * abs(value) / distance))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given [Holm 1979]: however the comparisons depend on each other, the chance that
    any of those at most alpha is false is at most alpha.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError("p-values lie in [0, 1]")
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = worst
    return adjusted
