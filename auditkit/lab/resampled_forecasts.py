"""Forecasts made from the first part of a resampled run, against what the whole of it came to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from auditkit.lab.resampled_intervals import Plan, hold_outcome
from auditkit.lab.resampling import Floats, Pool, holding
from auditkit.report.instrument import ForecastCheck
from auditkit.statistics.forecast import (
    Forecast,
    forecast_clusters,
    hits_together,
    reachable_clusters,
    same_fate,
    unseen_mass,
)

BOUND = "reachable, at least"

Counts = npt.NDArray[np.int64]


def forecast_checks(dataset: str, pool: Pool, plan: Plan) -> list[ForecastCheck]:
    """Coverage at ``plan.draws`` generations from half as many, the mass then unseen, and what is reachable at all.

    ``pool`` is of clusters; figures are shares of them (of the unseen mass: clusters a generation).
    """
    half = (plan.draws + 1) // 2
    first = pool.hit_counts(half, plan.runs, plan.seed)
    places = pool.first_generations(half, plan.runs, plan.seed)
    together = [hits_together(*run, half) for run in zip(first, places, strict=True)]
    fates = [same_fate(*run) for run in zip(first, places, strict=True)]
    later = pool.hit_counts(plan.draws - half, plan.runs, plan.seed + 1)
    outcome = np.count_nonzero(first + later, axis=1) / pool.units
    unseen = (first == 0) @ pool.shares
    reachable = np.full(plan.runs, np.count_nonzero(pool.shares) / pool.units)
    spread = float(np.var(outcome * pool.units))
    return [
        _check(
            *(dataset, "coverage", half, plan),
            *(
                first,
                lambda row, run: _shares(
                    forecast_clusters(row, half, plan.draws, together=together[run], fate=fates[run]), pool.units
                ),
            ),
            *(outcome, spread),
        ),
        _check(
            *(dataset, "unseen mass", half, plan),
            *(first, lambda row, run: unseen_mass(row, half, together=together[run])),
            *(unseen, float(np.mean(np.count_nonzero(first == 1, axis=1)))),
        ),
        _check(
            *(dataset, BOUND, half, plan),
            *(first, lambda row, run: _at_least(reachable_clusters(row, half, together=together[run]), pool.units)),
            *(reachable, 0.0),
        ),
    ]


def _check(  # noqa: PLR0917 -- what is forecast, from what, and what came
    dataset: str,
    quantity: str,
    half: int,
    plan: Plan,
    rows: Counts,
    forecast: Callable[[Counts, int], Forecast],
    outcome: Floats,
    events: float,
) -> ForecastCheck:
    made = [forecast(row, run) for run, row in enumerate(rows)]
    held = holding(outcome, [one.low for one in made], [one.high for one in made])
    low, high = held.interval
    return ForecastCheck(
        dataset=dataset,
        quantity=quantity,
        seen_after=half,
        forecast_for=plan.draws,
        runs=held.runs,
        forecast=float(np.mean([one.value for one in made])),
        outcome=held.truth,
        held=held.share,
        low=low,
        high=high,
        # A bound that is always right is as good as it says; of what is bounded on both sides that would be too wide.
        verdict=hold_outcome(held.share, 0.0 if quantity == BOUND else low, events),
    )


def _shares(forecast: Forecast, units: int) -> Forecast:
    return Forecast(forecast.value / units, forecast.low / units, forecast.high / units)


def _at_least(forecast: Forecast, units: int) -> Forecast:
    """A lower bound promises nothing of its upper end."""
    return Forecast(forecast.value / units, forecast.low / units, 1.0)
