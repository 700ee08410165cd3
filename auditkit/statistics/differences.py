"""How much less one arm leaks than another: differences and relative reductions of two figures with their intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from auditkit.records import Estimate
from auditkit.statistics.intervals import difference_interval

DIFFERENCE = "difference by square-and-add (MOVER) of the two arms' intervals, taken as independent"
REDUCTION = "1 - ratio by MOVER-R (Donner & Zou 2012) of the two arms' intervals, taken as independent"
UNCERTAIN_BASELINE = "the interval of what it is compared with holds 0: a share of it means nothing"


def difference(first: Estimate, second: Estimate) -> Estimate:
    """``first`` minus ``second``, in the scope of ``second``.

    MOVER [Zou & Donner 2008]. Both arms speak of the same records, so what scatters is the generations alone; those of
    two arms are taken as independent. Where the same seeds make them alike, the interval is wider than it need be.
    """
    if reason := _lacking(first, second):
        return _undefined(second, DIFFERENCE, reason)
    a, b = _ends(first), _ends(second)
    return _estimate(second, a[0] - b[0], difference_interval(*a, *b), DIFFERENCE)


def reduction(before: Estimate, after: Estimate) -> Estimate:
    """1 - after / before: the share of the figure that went; below 0 where it rose.

    At most 1, ends included: an adjusted figure that falls below 0 is gone. Without a value where the interval of
    ``before`` holds 0.
    """
    if reason := _lacking(before, after):
        return _undefined(after, REDUCTION, reason)
    b, a = _ends(before), _ends(after)
    if b[1] <= 0:
        return _undefined(after, REDUCTION, UNCERTAIN_BASELINE)
    low, high = ratio_interval(a, b)
    value, *ends = (min(1.0, 1 - share) for share in (a[0] / b[0], high, low))
    return _estimate(after, value, (ends[0], ends[1]), REDUCTION)


def paired_share_difference(gains: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """The mean of (n,) gains of -1, 0 or 1, one a question that two models were asked, with its 95 % interval.

    Adjusted Wald [Bonett & Price 2012]: a pseudo-question lost and one won, so that no interval shrinks to a point
    where nothing changed. The value is the plain mean.

    Raises:
        ValueError: no gain, or one that is none of the three.
    """
    n = len(gains)
    if not n or not np.isin(gains, (-1.0, 0.0, 1.0)).all():
        raise ValueError("gains are -1, 0 or 1, at least one")
    won, lost = (np.count_nonzero(gains == 1) + 1) / (n + 2), (np.count_nonzero(gains == -1) + 1) / (n + 2)
    reach = 1.959964 * float(np.sqrt((won + lost - (won - lost) ** 2) / (n + 2)))
    value = float(gains.mean())
    return value, min(value, max(-1.0, won - lost - reach)), max(value, min(1.0, won - lost + reach))


def ratio_interval(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float]:
    """The interval of a / b from the intervals of two independent figures: MOVER-R [Donner & Zou 2012, eq. 9].

    Args:
        a: value, low and high end; may be below 0.
        b: the same, all above 0.

    Returns:
        Ends with a / b between them. Where the formula has no real solution, the ratio of the outermost ends.

    Raises:
        ValueError: ``b`` is not above 0 from end to end.
    """
    (value, low, high), (divisor, divisor_low, divisor_high) = a, b
    if divisor_low <= 0:
        raise ValueError("the divisor's interval should lie above 0")
    product = value * divisor
    low_end = _root(product, low * (2 * value - low), divisor_high * (2 * divisor - divisor_high), -1)
    high_end = _root(product, high * (2 * value - high), divisor_low * (2 * divisor - divisor_low), 1)
    widest = sorted((low / divisor_low, low / divisor_high, high / divisor_low, high / divisor_high))
    return (
        min(value / divisor, widest[0] if low_end is None else max(low_end, widest[0])),
        max(value / divisor, widest[-1] if high_end is None else min(high_end, widest[-1])),
    )


def _root(product: float, of_a: float, of_b: float, sign: int) -> float | None:
    """One end of the ratio; None where there is no real one."""
    discriminant = product**2 - of_a * of_b
    if of_b <= 0 or discriminant < 0:
        return None
    return float((product + sign * np.sqrt(discriminant)) / of_b)


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.value is not None and estimate.low is not None and estimate.high is not None
    return estimate.value, estimate.low, estimate.high


def _lacking(first: Estimate, second: Estimate) -> str:
    """Why the two cannot be compared; "" where they can."""
    for estimate in (first, second):
        if estimate.value is None or estimate.low is None or estimate.high is None:
            return estimate.reason or "one side has no interval"
    return ""


def _estimate(scope: Estimate, value: float, ends: tuple[float, float], method: str) -> Estimate:
    low, high = min(ends[0], value), max(ends[1], value)
    return _bare(scope, method, float(value), float(low), float(high))


def _undefined(scope: Estimate, method: str, reason: str) -> Estimate:
    return replace(_bare(scope, method, None, None, None), reason=reason)


def _bare(scope: Estimate, method: str, value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(scope.metric, scope.dataset, scope.attack, value, low, high, method, view=scope.view)
