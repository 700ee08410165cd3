"""What the chart of leakage against utility is drawn from: figures only, an arm a point, a dataset a panel."""

from __future__ import annotations

from auditkit.records import View
from auditkit.report.arm_figures import (
    Range,
    baseline_leaks,
    cost_metric,
    costs,
    leak_metric,
    strongest,
)
from auditkit.report.base import AuditReport
from auditkit.report.part import Part
from auditkit.report.shown_arms import ShownArm, leak_scopes, shown_arms


class ArmPoint(Part):
    """One arm: cost and leakage, each as value, low, high. ``number`` 0 is the baseline."""

    number: int
    cost: tuple[float, float, float]
    leak: tuple[float, float, float]
    acts_on: str
    counts: bool
    marked: bool  # recommended, or the best so far


class ArmPanel(Part):
    """All arms on one dataset. ``limit``: the gate's; ``most``: of the cost, to stay viable. None: there is none."""

    dataset: str
    view: View
    metric: str
    cost_metric: str
    limit: float | None
    most: float | None
    points: list[ArmPoint]
    left_out: list[int]  # arms without a cost or a leakage on this dataset


def arm_panels(report: AuditReport) -> list[ArmPanel]:
    """What is drawn of each dataset; none where no arm has both a leakage and a cost."""
    found = report.mitigations
    cost = cost_metric(found.changes) if found else None
    if found is None or cost is None:
        return []
    metric = leak_metric(found.changes)
    arms = shown_arms(report)
    panels = []
    for dataset, view in leak_scopes(report):
        points = [point for shown in arms if (point := _point(report, shown, dataset, view, cost))]
        drawn = {point.number for point in points}
        panel = ArmPanel(
            dataset=dataset,
            view=view,
            metric=metric,
            cost_metric=cost,
            limit=_gate_limit(report, metric, dataset, view),
            most=found.most.get(cost),
            points=points,
            left_out=[shown.number for shown in arms if shown.number not in drawn],
        )
        if drawn - {0}:
            panels.append(panel)
    return panels


def _point(report: AuditReport, shown: ShownArm, dataset: str, view: View, cost: str) -> ArmPoint | None:
    assert report.mitigations is not None, "arms are shown where mitigations were declared"
    changes = report.mitigations.changes
    spent: Range | None = Range(0.0, 0.0, 0.0)
    leak = Range.of(baseline_leaks(shown.arm, dataset, view, leak_metric(changes)))
    if shown.number:
        spent = dict(costs(shown.arm.name, changes, cost)).get(dataset)
        own = (c.mitigated for c in strongest(shown.arm.name, changes) if (c.dataset, c.view) == (dataset, view))
        leak = Range.of(next(own, None))
    if spent is None or leak is None:
        return None
    return ArmPoint(
        number=shown.number,
        cost=(spent.value, spent.low, spent.high),
        leak=(leak.value, leak.low, leak.high),
        acts_on=shown.arm.acts_on,
        counts=shown.standing in ("counts", "baseline"),
        marked=shown.recommended or shown.best_so_far,
    )


def _gate_limit(report: AuditReport, metric: str, dataset: str, view: View) -> float | None:
    """The strictest of the gate's limits on this figure."""
    wanted = (metric, dataset, view)
    return min((r.limit for r in report.verdict.rules if (r.metric, r.dataset, r.view) == wanted), default=None)
