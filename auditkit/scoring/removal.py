"""What removing records from the data would leave of the leak: predicted coverage along a removal list.

The prediction is for the same attack on a model trained again without the removed clusters, counted over the data as
they are today, removed records included: a text that comes out has leaked, whether or not it was trained on. It rests
on two assumptions, which the report states beside it:

- kept records leak as before: each is reached at the rate that its hits, and those of all others, tell. That is
  optimistic where a removal uncovers others: taking out what was memorised most lets the next layer be memorised
  better [Carlini 2022, the privacy onion effect].
- removed records come out as often as never-trained controls do.

The interval is one for another run of the attack, not for a mean: it holds the chance of both runs' generations and of
the controls' count, and nothing for the assumptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auditkit.statistics.intervals import clopper_pearson

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NORMAL = 1.96
RATES, LEAST_RATE, ROUNDS = 120, 1e-3, 300  # hits a run: the grid that they are looked for on


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
    again, leaked = hit_again(hits), int(np.count_nonzero(hits))
    found = np.array([_after(again, leaked, gone, (controls_hit, controls)) for gone in removed]) / len(hits)
    return Predicted(*np.clip(found.reshape(-1, 3).T, 0.0, 1.0))


def _after(again: Floats, leaked: int, gone: Index, controls: tuple[int, int]) -> tuple[float, float, float]:
    """Clusters that come out, and the ends of the interval: the sum of what is kept and what is gone."""
    kept = np.delete(again, gone)
    value = max(0.0, leaked - float(again[gone].sum()))
    scatter = NORMAL * float(np.sqrt(2 * np.sum(kept * (1 - kept))))  # that of another run, and that of this one
    expected, low, high = _gone(len(gone), *controls)
    return (
        value + expected,
        value + expected - float(np.hypot(scatter, expected - low)),
        value + expected + float(np.hypot(scatter, high - expected)),
    )


def hit_again(hits: Index) -> Floats:
    """(clusters,) the chance that another run as long as this one reaches each cluster again, from its hits in this.

    What was hit once may have been luck, and what was not hit may have been bad luck: a removal that takes all that was
    hit leaves clusters that come out next time. The rates at which clusters are hit are taken for draws from one
    distribution, which the counts of all of them tell [Robbins 1956; by maximum likelihood, Kiefer & Wolfowitz 1956].
    """
    values, place, clusters = np.unique(hits, return_inverse=True, return_counts=True)
    rates = np.geomspace(LEAST_RATE, max(1.0, 2.0 * float(values.max(initial=0))), RATES)
    logs = values[:, None] * np.log(rates) - rates  # Poisson, but for what a count has in common over all rates
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    share = np.full(RATES, 1 / RATES)
    for _ in range(ROUNDS):
        posterior = likelihood * share
        posterior /= posterior.sum(axis=1, keepdims=True)
        share = clusters @ posterior / clusters.sum()
    return np.asarray((posterior @ -np.expm1(-rates))[place], np.float64)


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
