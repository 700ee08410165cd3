"""Figures as people read them: shares in per cent, intervals, digests, sizes, times."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from auditkit.records import Estimate

NBSP = "\u00a0"
UNDEFINED = "undefined"
TENFOLD = 10

_SHARES = (
    *("coverage", "rate", "share", "tpr", "fpr", "longest_match", "peakedness", "last_k_words"),
    *("task_accuracy", "relative_reduction", "held_out_accuracy", "recovered_utility"),
)
_PLAIN = ("lm_eval", "latency_ratio", "control_perplexity")  # whatever words their task or unit is named by


def is_share(metric: str) -> bool:
    """Whether a metric is a share (or a difference of shares) and reads best in per cent."""
    if metric.startswith(_PLAIN):
        return False
    return any(word in metric for word in _SHARES) and not metric.endswith("_auc")


def number(value: float | None, digits: int = 4) -> str:
    """A plain number with at most ``digits`` significant digits; None is "undefined"."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    if value == int(value) and abs(value) < 1e15:
        return _signed(f"{int(value):,}")
    if abs(value) >= 10**digits:
        return _signed(f"{value:,.0f}")
    return _signed(f"{value:.{digits}g}")


def fixed(value: float | None, places: int = 3) -> str:
    """A score with a fixed number of decimal places, for columns that line up."""
    return UNDEFINED if value is None else _signed(f"{value:.{places}f}")


def percent(share: float | None) -> str:
    """A share in per cent, with as many digits as it takes to tell it from 0 and from 100."""
    if share is None or not math.isfinite(share):
        return UNDEFINED
    return f"{_percent_digits(share)}{NBSP}%"


def change(share: float | None) -> str:
    """A relative change in per cent with its sign, "+1.2 %"; from tenfold on the factor, "×91,000"."""
    if share is not None and math.isfinite(share) and share >= TENFOLD - 1:
        return f"×{number(1 + share, 3)}"
    return _plus(share, percent(share))


def points(share: float | None) -> str:
    """A difference of two shares in percentage points with its sign, "−1.2 points"."""
    shown = percent(share)
    return shown if shown == UNDEFINED else _plus(share, shown.replace("%", "points"))


def _plus(amount: float | None, shown: str) -> str:
    return f"+{shown}" if amount is not None and amount > 0 and shown[:1].isdigit() else shown


def _percent_digits(share: float) -> str:
    value = 100 * share
    if value == 0 or abs(value) == 100:
        return _signed(f"{value:.0f}")
    distance = min(abs(value), abs(100 - abs(value)))
    if distance < 1e-4:
        return ("under " if abs(value) < 50 else "over ") + ("0.0001" if abs(value) < 50 else "99.9999")
    places = 1 if distance >= 1 else min(4, 1 - math.floor(math.log10(distance)))
    digits = f"{value:.{places}f}"
    return _signed(digits.rstrip("0").rstrip("."))


def _signed(digits: str) -> str:
    """A true minus sign, and no minus before zero."""
    if digits.startswith("-"):
        return digits[1:] if not digits.strip("-0.,") else "−" + digits[1:]
    return digits


def value(metric: str, amount: float | None) -> str:
    """A figure of this metric: per cent for a share, else a plain number."""
    return percent(amount) if is_share(metric) else number(amount)


def estimate_value(estimate: Estimate | None) -> str:
    """The value of an estimate, "undefined" where there is none."""
    return UNDEFINED if estimate is None else value(estimate.metric, estimate.value)


def interval(estimate: Estimate | None) -> str:
    """The 95 % interval of an estimate, "–" where there is none."""
    if estimate is None or (estimate.low is None and estimate.high is None):
        return "–"
    low, high = (("unbounded" if end is None else value(estimate.metric, end)) for end in (estimate.low, estimate.high))
    return f"{low} to {high}"


def count(amount: float) -> str:
    """A count with thousands separated; fractional expectations keep one decimal."""
    return f"{int(amount):,}" if amount == int(amount) else f"{amount:,.1f}"


def duration(seconds: float) -> str:
    """Seconds as "1 h 2 min", "2 min 31 s", "4.2 s"."""
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes}{NBSP}min" if hours else f"{minutes}{NBSP}min {rest}{NBSP}s"


def size(amount: float) -> str:
    """Bytes in decimal units."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(amount) < 1000:
            return f"{amount:.0f}{NBSP}{unit}" if unit == "bytes" else f"{amount:.1f}{NBSP}{unit}"
        amount /= 1000
    return f"{amount:.1f}{NBSP}TB"


def moment(iso: str) -> str:
    """An ISO 8601 time as "3 February 2026, 10:11 UTC"; anything else as it is."""
    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"
