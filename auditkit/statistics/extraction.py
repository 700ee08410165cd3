"""From the probability of a record to the number of queries that extract it [Hayes 2025, (n, p)-discoverable]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Below this, ln(1 - p_z) is -p_z to the last digit of a double, and p_z itself may not be one any more.
SMALL = -40.0

Floats = npt.NDArray[np.float64]


def queries_to_extract(logprob: npt.ArrayLike, p: float = 0.5) -> Floats:
    """How many samples it takes to see a record at least once with probability ``p``.

    Args:
        logprob: (n,) natural logarithms of the probability p_z of sampling the record; at most 0, -inf for never.
        p: in (0, 1).

    Returns:
        (n,) max(1, ceil(ln(1 - p) / ln(1 - p_z))); inf where that is beyond a double, never NaN.

    Raises:
        ValueError: ``p`` outside (0, 1), or a log-probability that is NaN or above 0.
    """
    given = _checked(logprob, p)
    with np.errstate(over="ignore", divide="ignore"):
        queries: Floats = np.maximum(1.0, np.ceil(-np.log1p(-p) * np.exp(-_log_hazard(given))))
    return queries


def log10_queries_to_extract(logprob: npt.ArrayLike, p: float = 0.5) -> Floats:
    """The decimal logarithm of ``queries_to_extract``: finite unless the probability is 0.

    Args and errors as there; (n,), at least 0.
    """
    given = _checked(logprob, p)
    exact = queries_to_extract(given, p)
    unrounded = (np.log(-np.log1p(-p)) - _log_hazard(given)) / np.log(10)
    # Rounding up to whole queries only shows where there are few.
    return np.where(given > SMALL, np.log10(exact), np.maximum(0.0, unrounded))


def _log_hazard(logprob: Floats) -> Floats:
    """ln(-ln(1 - p_z)), in log space throughout: inf for a certainty, -inf for an impossibility."""
    ordinary = np.clip(logprob, SMALL, 0.0)
    with np.errstate(divide="ignore"):
        return np.where(logprob > SMALL, np.log(-np.log1p(-np.exp(ordinary))), logprob)


def _checked(logprob: npt.ArrayLike, p: float) -> Floats:
    if not 0 < p < 1:
        raise ValueError("p lies above 0 and below 1")
    given = np.atleast_1d(np.asarray(logprob, np.float64))
    if np.isnan(given).any() or (given > 0).any():
        raise ValueError("a log-probability is a number of at most 0")
    return given
