"""What removing records from the data would leave of the leak: predicted coverage along a removal list.

The prediction is for the same attack on a model trained again without the removed clusters, counted over the data as
they are today, removed records included: a text that comes out has leaked, whether or not it was trained on. It rests
on two assumptions, which the report states beside it:

- kept records leak as before. That is optimistic where a removal uncovers others: taking out what was memorised most
  lets the next layer be memorised better [Carlini 2022, the privacy onion effect].
- removed records come out as often as never-trained controls do.

The interval is one for another run of the attack, not for a mean: it holds the chance of both runs' generations and of
the controls' count, and nothing for the assumptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import clopper_pearson, distinct_interval

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NORMAL = 1.96


@dataclass(frozen=True)
class Predicted:
    """(points,) each: share of all clusters that would come out, and its 95 % prediction interval."""

    coverage: Floats
    low: Floats
    high: Floats


def predicted_coverage(hits: Index, removed: Sequence[Index], controls_hit: int, controls: int) -> Predicted:
    """Coverage by the same attacks after each of these removals.

    Args:
        hits: (clusters,) generations that reached each cluster, all attacks together; at least one cluster.
        removed: for each point, the clusters that are gone; those of one point need not hold those before.
        controls_hit, controls: how many clusters of never-trained controls came out, and of how many.
    """
    found = np.array([_after(hits, gone, controls_hit, controls) for gone in removed]) / len(hits)
    return Predicted(*np.clip(found.reshape(-1, 3).T, 0.0, 1.0))


def _after(hits: Index, gone: Index, controls_hit: int, controls: int) -> tuple[float, float, float]:
    """Clusters that come out, and the ends of its interval: the sum of what is kept and what is gone."""
    kept = np.delete(hits, gone)
    values = [_kept(kept), _gone(len(gone), controls_hit, controls)]
    value = sum(one[0] for one in values)
    low, high = (float(np.hypot(*(one[end] - one[0] for one in values))) for end in (1, 2))
    return value, value - low, value + high


def _kept(hits: Index) -> tuple[float, float, float]:
    """As many as now. The interval of a mean grows by the square root of 2: another run has its own chance too."""
    now = float(np.count_nonzero(hits))
    if not len(hits):
        return 0.0, 0.0, 0.0
    low, high = distinct_interval(hits)
    return now, now - 2**0.5 * (now - low), now + 2**0.5 * (high - now)


def _gone(count: int, controls_hit: int, controls: int) -> tuple[float, float, float]:
    """As many as controls would be: the controls' own count is uncertain, and so is what chance makes of it."""
    rate = controls_hit / controls if controls else 0.0
    low, high = clopper_pearson(controls_hit, controls)
    value, scatter = count * rate, NORMAL * float(np.sqrt(count * rate * (1 - rate)))
    return (
        value,
        value - float(np.hypot(count * (rate - low), scatter)),
        value + float(np.hypot(count * (high - rate), scatter)),
    )
