"""What an attacker with more generations would get, from what the generations that were made hit once, twice, ..."""

from __future__ import annotations

import numpy as np

from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.score import Scores
from auditkit.policy.schema import Policy
from auditkit.report.scored import BudgetForecast, Foreseen, ForeseenAt
from auditkit.scoring.coverage import CoverageResult
from auditkit.scoring.metrics import UNCALIBRATED
from auditkit.statistics.forecast import (
    Forecast,
    forecast_clusters,
    hits_together,
    reachable_clusters,
    same_fate,
    unseen_mass,
)

STEPS = 10


def forecasts(policy: Policy, datasets: list[PreparedDataset], scores: Scores) -> list[BudgetForecast]:
    """One for each dataset, in its first view, and attack."""
    return [
        budget_forecast(scores.coverage[attack.label, data.name, data.views[0]].members).model_copy(
            update={"dataset": data.name, "attack": attack.label, "view": data.views[0]}
        )
        for data in datasets
        for attack in policy.prefix_attacks
    ]


def budget_forecast(members: CoverageResult) -> BudgetForecast:
    """The forecast for what one attack reached; shares of clusters, and clusters a generation."""
    made, clusters = members.generations, members.clusters
    found = BudgetForecast(
        dataset="", attack="", view="record", generations=made, clusters=clusters, clusters_hit=members.clusters_hit
    )
    if members.threshold is None:
        return found.model_copy(update={"reason": UNCALIBRATED})
    if not made or not clusters:
        return found.model_copy(update={"reason": "there are no generations" if clusters else "there are no records"})
    counts = members.incidence
    together = hits_together(counts, members.first_hit, made)
    fate = same_fate(counts, members.first_hit)
    budgets = np.unique(np.linspace(made, 2 * made, STEPS + 1).round().astype(np.int64)).tolist()
    ahead = [forecast_clusters(counts, made, budget, together=together, fate=fate) for budget in budgets]
    return found.model_copy(
        update={
            "unseen_mass": _foreseen(unseen_mass(counts, made, together=together), 1),
            "at_twice": _foreseen(ahead[-1], clusters),
            "reachable": _foreseen(reachable_clusters(counts, made, together=together), clusters),
            "on_the_way": [
                ForeseenAt(generations=budget, **_foreseen(one, clusters).model_dump())
                for budget, one in zip(budgets, ahead, strict=True)
            ],
        }
    )


def _foreseen(one: Forecast, whole: int) -> Foreseen:
    return Foreseen(value=one.value / whole, low=one.low / whole, high=one.high / whole)
