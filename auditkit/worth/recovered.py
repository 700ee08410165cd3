"""``recovered_utility``: the share of what the originals teach that an attacker gets, with its interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
METHOD = "ratio of gains by Fieller over pairs of seeds, the scatter between questions added; 95 %"
GAIN_METHOD = "mean over seeds, the scatter between questions added; 95 %"
NO_GAIN = "the originals do not clearly beat the base"


@dataclass(frozen=True)
class TaskScores:
    """What one arm scored on one task.

    ``values`` is (seeds, questions), a figure a question and training; (seeds, 1) where the task has one figure in all.
    The base is trained once with no seed: (1, questions). Every arm of a task has the same questions in one order, and
    the same seeds in one order. ``shares``: each is in [0, 1], and more is better.
    """

    values: Floats
    shares: bool = True

    @property
    def mean(self) -> float:
        """Over all seeds and questions."""
        return float(self.values.mean())

    @property
    def by_seed(self) -> list[float]:
        """One figure a training."""
        return [float(value) for value in self.values.mean(axis=1)]


@dataclass(frozen=True, slots=True)
class Found:
    """A figure with its 95 % interval; without a value, ``reason`` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def scored(arm: TaskScores) -> Found:
    """What an arm scored; of a base that has no seeds the scatter between questions alone."""
    ends = (0.0, 1.0) if arm.shares else (-math.inf, math.inf)
    return _within(_interval(arm.values, arm.shares), *ends)


def gain(arm: TaskScores, base: TaskScores) -> Found:
    """What an arm scored above the base."""
    most = 1.0 if arm.shares else math.inf
    return _within(_interval(arm.values - base.values, arm.shares), -most, most)


def recovered(arm: TaskScores, originals: TaskScores, base: TaskScores) -> Found:
    """(arm - base) / (originals - base) [METRICS.md, recovered_utility]; above 1 where the arm did better.

    The interval holds every ratio r for which "the arm's gain is r times the originals'" is not refuted [Fieller 1954],
    so that it is right where the originals' gain is itself uncertain; a ratio of means with a plus or minus is not. Two
    things scatter: trainings, which are paired by seed (arm and originals share it, and what the seed does to both goes
    out), and the questions, which all arms were asked. Their variances of the mean are added, each with the t of its
    own number [Cochran 1964], which is a little too wide rather than too narrow. So that no interval shrinks to a point
    where all questions went alike, the variance between questions is taken with a pseudo-question lost and one won on
    each side [as Bonett & Price 2012].

    Without a value where the lower end of the originals' gain is not above 0: then the recipe taught too little for
    anything to be a share of it, and nothing is concluded. An arm that could not be trained for want of rows is given
    as the base's own scores.
    """
    e, o = np.broadcast_arrays(arm.values - base.values, originals.values - base.values)
    gained, full = float(e.mean()), float(o.mean())
    spread = _spread(e, o, arm.shares)
    reach = math.sqrt(spread[1, 1])
    if full - reach <= 0:
        return Found(None, reason=NO_GAIN)
    # (gained - r full)^2 <= spread of (e - r o), solved for r: a r^2 - 2 b r + c <= 0.
    a, b, c = full**2 - spread[1, 1], gained * full - spread[0, 1], gained**2 - spread[0, 0]
    root = math.sqrt(max(0.0, b * b - a * c))
    return Found(gained / full, (b - root) / a, (b + root) / a)


def verdict(found: Found) -> str:
    """What a share of the gain says: recovers, recovers_nothing_shown, inconclusive."""
    if found.value is None or found.low is None:
        return "inconclusive"
    return "recovers" if found.low > 0 else "nothing_shown"


def _interval(values: Floats, shares: bool) -> Found:
    spread = _spread(values, values, shares)
    reach, mean = math.sqrt(spread[0, 0]), float(values.mean())
    return Found(mean, mean - reach, mean + reach)


def _within(found: Found, least: float, most: float) -> Found:
    """The interval cut to what is possible."""
    assert found.low is not None and found.high is not None
    return Found(found.value, max(least, found.low), min(most, found.high))


def _spread(e: Floats, o: Floats, shares: bool) -> Floats:
    """(2, 2) squared half-widths: what scatters between trainings, and between questions, each times its own t squared.

    A base alone has one row, and one figure in all has one column: what is not there adds nothing.
    """
    by_seed = _covariance(e.mean(axis=1), o.mean(axis=1))
    if e.shape[1] == 1:
        return by_seed
    pseudo: Sequence[tuple[float, float]] = ((1, 0), (-1, 0), (0, 1), (0, -1)) if shares else ()
    first = np.concatenate([e.mean(axis=0), [x for x, _ in pseudo]])
    second = np.concatenate([o.mean(axis=0), [y for _, y in pseudo]])
    return by_seed + _covariance(first, second)


def _covariance(x: Floats, y: Floats) -> Floats:
    """Covariance matrix of the two means, times t squared."""
    from scipy.special import stdtrit

    count = len(x)
    if count < 2:
        return np.zeros((2, 2))
    t = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
    return np.cov(np.stack([x, y])) / count * t**2
