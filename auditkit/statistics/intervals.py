"""Confidence intervals: pure functions over counts. Every figure that auditkit reports gets its interval here."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Below this many clusters hit (or left) a normal interval around a distinct count is too narrow.
FEW_CLUSTERS = 20
# Terms of the smoothed Good-Toulmin series: enough for the bias to vanish, few enough for the noise to.
SERIES_TERMS = 8


@overload
def clopper_pearson(hits: float, trials: float, confidence: float = ...) -> tuple[float, float]: ...
@overload
def clopper_pearson(
    hits: npt.NDArray[Any], trials: npt.ArrayLike, confidence: float = ...
) -> tuple[Floats, Floats]: ...
def clopper_pearson(
    hits: float | npt.NDArray[Any], trials: npt.ArrayLike, confidence: float = 0.95
) -> tuple[float | Floats, float | Floats]:
    """The exact two-sided interval of a binomial share [Clopper & Pearson 1934].

    Args:
        hits: successes, 0 to ``trials``; a scalar or an array. Fractions are allowed (the mean of several counts).
        trials: independent trials, at least 0; broadcast against ``hits``.
        confidence: of the interval, between 0 and 1.

    Returns:
        Low and high end in [0, 1], floats for scalars, else float64 arrays. No trials: (0, 1).

    Raises:
        ValueError: a count below 0, more hits than trials, or a confidence outside (0, 1).
    """
    from scipy.special import betaincinv

    tail = _tail(confidence)
    k, n = np.broadcast_arrays(np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    if not (np.all(k >= 0) and np.all(k <= n)):
        raise ValueError("hits must lie between 0 and trials")
    # The inner maxima keep the beta function defined where np.where throws its value away.
    low = np.where(k > 0, betaincinv(np.maximum(k, 1e-12), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1e-12), 1 - tail), 1.0)
    return (float(low), float(high)) if low.ndim == 0 else (low, high)


def poisson_interval(count: float, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a Poisson mean [Garwood 1936]: 0 events give (0, 3.689).

    Raises:
        ValueError: a negative count, or a confidence outside (0, 1).
    """
    from scipy.special import gammaincinv

    tail = _tail(confidence)
    if not count >= 0:
        raise ValueError("a count is at least 0")
    low = float(gammaincinv(count, tail)) if count > 0 else 0.0
    return low, float(gammaincinv(count + 1, 1 - tail))


def weighted_poisson_interval(
    counts: npt.ArrayLike, weights: npt.ArrayLike, confidence: float = 0.95, *, together: float = 1.0
) -> tuple[float, float]:
    """The interval of a weighted sum of Poisson means [Fay & Feuer 1997], the gamma method: conservative.

    Args:
        counts: (k,) events of each.
        weights: (k,) above 0; equal ones give ``poisson_interval`` of the sum.
        confidence: of the interval.
        together: how many events come at once, at least 1: they scatter as if there were so many times fewer.

    Raises:
        ValueError: a negative count, a weight that is not above 0, or a confidence outside (0, 1).
    """
    from scipy.special import gammaincinv

    tail = _tail(confidence)
    k, w = np.asarray(counts, np.float64), np.asarray(weights, np.float64)
    if not (k.size and np.all(k >= 0) and np.all(w > 0)):
        raise ValueError("counts are at least 0 and weights above 0")
    w = w * together
    total, variance, most = float(np.sum(w * k) / together), float(np.sum(w**2 * k) / together), float(w.max())
    low = variance / total * float(gammaincinv(total**2 / variance, tail)) if total else 0.0
    above, wider = total + most, variance + most**2
    return low, wider / above * float(gammaincinv(above**2 / wider, 1 - tail))


def distinct_interval(
    hit_counts: npt.NDArray[Any], confidence: float = 0.95, *, together: float = 1.0
) -> tuple[float, float]:
    """The interval of E S(n), the expected number of distinct clusters that n generations hit, in clusters.

    Args:
        hit_counts: (clusters,) in how many generations each cluster was hit, zeros included.
        confidence: of the interval, between 0 and 1.
        together: how many rare clusters come with one generation (``forecast.hits_together``), at least 1: where
            records resemble each other, the count scatters as if there were so many times fewer.

    Returns:
        Low and high end in [0, clusters]; never of zero width unless there are no clusters.

    A cluster that is hit at rate r in n generations stays unseen with probability exp(-r), so the variance of the
    distinct count is sum exp(-r) (1 - exp(-r)) = E S(2n) - E S(n) [Efron & Thisted 1976]. That difference, the
    clusters that a second run as long as the first would add, is estimated from how many clusters were hit once,
    twice, ... (``expected_new_clusters``); one standard error is added, since it is itself uncertain. Where fewer
    than ``FEW_CLUSTERS`` were hit, a normal interval fails, and the count of hit clusters is bounded as a Poisson
    count [Garwood]; where nearly all were hit, the count of those left is. Both are conservative: the variance of
    the count is never above its mean. A bootstrap over generations is not used: resampling loses distinct clusters,
    and the interval misses the truth nearly always.
    """
    counts = np.asarray(hit_counts)
    seen = int(np.count_nonzero(counts > 0))
    return _distinct_interval(seen, len(counts) - seen, _frequencies(counts), confidence, together)


def singly_hit_interval(hits: int, clusters: int, confidence: float = 0.95) -> tuple[float, float]:
    """``distinct_interval`` where so many of the clusters were hit once each: the widest that so many hits can have.

    Raises:
        ValueError: more hits than clusters, or a confidence outside (0, 1).
    """
    if not 0 <= hits <= clusters:
        raise ValueError("hits must lie between 0 and clusters")
    once = np.zeros(SERIES_TERMS)
    once[0] = hits
    return _distinct_interval(hits, clusters - hits, once, confidence, 1.0)


def _distinct_interval(
    seen: int, unseen: int, frequencies: npt.NDArray[Any], confidence: float, together: float
) -> tuple[float, float]:
    """From how many clusters were hit once, twice, ..., up to ``SERIES_TERMS`` times."""
    from scipy.special import ndtri

    tail = _tail(confidence)
    clusters = seen + unseen
    if min(seen, unseen) / together < FEW_CLUSTERS:
        fewest = min(seen, unseen)
        low, high = (together * end for end in poisson_interval(fewest / together, confidence))
        if unseen < seen:
            low, high = clusters - high, clusters - low
    else:
        variance, error = _new_clusters(seen, unseen, frequencies)
        half_width = -float(ndtri(tail)) * float(np.sqrt(together * (variance + error)))
        low, high = seen - half_width, seen + half_width
    return max(0.0, low), min(float(clusters), high)


def expected_new_clusters(hit_counts: npt.NDArray[Any]) -> float:
    """S(2n) - S(n): how many clusters a second run of the same length would add, in clusters.

    Good and Toulmin's alternating series (clusters hit once, minus twice, plus three times, ...), its tail weighted
    down binomially, since the plain series drowns in the noise of clusters that are hit often [Good & Toulmin 1956;
    Efron & Thisted 1976]. Clipped to what is possible: no more than were seen, no more than are left.
    """
    counts = np.asarray(hit_counts)
    seen = int(np.count_nonzero(counts > 0))
    return _new_clusters(seen, len(counts) - seen, _frequencies(counts))[0]


def _frequencies(counts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """(SERIES_TERMS,) how many clusters were hit once, twice, ..."""
    return np.bincount(counts[counts <= SERIES_TERMS].astype(np.int64), minlength=SERIES_TERMS + 1)[1:]


def _new_clusters(seen: int, unseen: int, frequencies: npt.NDArray[Any]) -> tuple[float, float]:
    """The series and its standard error."""
    from scipy.special import bdtrc

    terms = np.arange(1, SERIES_TERMS + 1)
    weights = bdtrc(terms - 1, SERIES_TERMS, 0.5)  # P(Binomial(SERIES_TERMS, 1/2) >= k)
    series = float(np.sum(np.where(terms % 2 == 1, 1, -1) * weights * frequencies))
    # Frequencies are near-independent Poisson counts; none seen once leaves as much doubt as one that was.
    error = float(np.sqrt(max(1.0, np.sum(weights**2 * frequencies))))
    return float(np.clip(series, 0, min(seen, unseen))), error


def difference_interval(  # noqa: PLR0917 -- two figures with their ends, in reading order
    a: float, a_low: float, a_high: float, b: float, b_low: float, b_high: float
) -> tuple[float, float]:
    """The interval of a - b from the intervals of two independent figures, by square-and-add.

    MOVER [Newcombe 1998; Zou & Donner 2008]: each end of the difference takes its distance from the ends of the two
    that push it that way. It keeps the asymmetry of the parts, so that 0 hits give no zero-width interval.
    """
    low = (a - b) - float(np.hypot(a - a_low, b_high - b))
    high = (a - b) + float(np.hypot(a_high - a, b - b_low))
    return low, high


def mean_difference_interval(a: npt.NDArray[Any], b: npt.NDArray[Any], confidence: float = 0.95) -> tuple[float, float]:
    """The interval of mean(a) - mean(b) for two independent samples of unequal variance [Welch 1947].

    Raises:
        ValueError: fewer than two values on a side, which leaves a variance undefined.
    """
    from scipy.special import stdtrit

    if min(len(a), len(b)) < 2:
        raise ValueError("each side needs at least two values")
    parts = np.array([np.var(side, ddof=1, dtype=np.float64) / len(side) for side in (a, b)])
    difference = float(np.mean(a, dtype=np.float64) - np.mean(b, dtype=np.float64))
    variance = float(parts.sum())
    if variance == 0:
        return difference, difference
    freedom = variance**2 / float(np.sum(parts**2 / np.array([len(a) - 1, len(b) - 1])))
    half_width = float(stdtrit(freedom, 1 - _tail(confidence))) * variance**0.5
    return difference - half_width, difference + half_width


def _tail(confidence: float) -> float:
    """The probability left on each side."""
    if not 0 < confidence < 1:
        raise ValueError("a confidence lies between 0 and 1, such as 0.95")
    return (1 - confidence) / 2
