"""The report's charts as inline SVG. Every distinction is made by shape, line or shade, never by hue alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from auditkit.records import Estimate
from auditkit.report.arm_charts import arm_charts
from auditkit.report.arm_figures import shown_arm
from auditkit.report.arm_panels import ArmPanel, arm_panels
from auditkit.report.attribution_charts import forecast_charts, removal_charts
from auditkit.report.base import (
    AuditReport,
    Calibration,
    CoverageCurve,
    Histogram,
    ProbeReport,
    RuleResult,
    Scatter,
)
from auditkit.report.panel_boxes import PanelBox, panel_boxes
from auditkit.report.part import Part
from auditkit.report.probe_charts import probe_charts
from auditkit.report.removal import RemovalForecast
from auditkit.report.rule_charts import prefix_chart, rule_charts
from auditkit.report.score_charts import coverage_charts, histogram_charts, scatter_charts
from auditkit.report.scored import BudgetForecast, Removal, ThresholdCurve
from auditkit.report.stage_attribution import StageStep
from auditkit.report.stage_charts import stage_charts
from auditkit.report.svg import drawing, to_svg
from auditkit.report.threshold_charts import threshold_charts
from auditkit.report.worth import Worth
from auditkit.report.worth_charts import worth_charts


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn figure with its caption."""

    section: str
    caption: str
    svg: Markup
    panels: tuple[PanelBox, ...] = ()


class ChartData(Part):
    """What the charts are drawn from: figures only, so that the full and the redacted report share one drawing."""

    histograms: list[Histogram]
    scatters: list[Scatter]
    curves: list[CoverageCurve]
    rules: list[RuleResult]
    calibration: list[Calibration]
    estimates: list[Estimate]  # of the arm whose generations the other charts show too
    probes: list[ProbeReport]
    removals: list[Removal]
    thresholds: list[ThresholdCurve]
    forecasts: list[BudgetForecast]
    arms: list[ArmPanel] = []
    worth: Worth | None = None
    stages: list[StageStep] = []
    left: list[RemovalForecast] = []


def draw_all(report: AuditReport) -> list[Chart]:
    """Every chart of the report, in the order of its sections; what there is no data for is left out."""
    attribution, shown = report.attribution, shown_arm(report.arms, report.verdict.arm)
    data = ChartData(
        histograms=report.figures.histograms,
        scatters=report.figures.scatters,
        curves=report.figures.coverage_curves,
        rules=report.verdict.rules,
        calibration=report.calibration,
        estimates=shown.estimates if shown else [],
        probes=report.probes,
        thresholds=report.thresholds,
        forecasts=report.forecasts,
        removals=[removal.model_copy(update={"tags": []}) for removal in attribution.removals] if attribution else [],
        arms=arm_panels(report),
        worth=report.worth,
        left=attribution.forecasts if attribution else [],
        stages=report.stages.steps if report.stages else [],
    )
    return list(_drawn(data.model_dump_json()))


@lru_cache(maxsize=2)
def _drawn(content: str) -> tuple[Chart, ...]:
    """The charts for this data; HTML and PDF, full and redacted, ask for the same ones one after another."""
    data = ChartData.model_validate_json(content)
    thresholds = {(entry.dataset, entry.view): entry.threshold for entry in data.calibration}
    with drawing():
        drawn = [
            *rule_charts(data.rules),
            *histogram_charts(data.histograms, thresholds),
            *scatter_charts(data.scatters),
            *threshold_charts(data.thresholds, thresholds),
            *coverage_charts(data.curves, data.forecasts),
            *prefix_chart(data.estimates),
            *probe_charts(data.probes),
            *removal_charts(data.removals),
            *forecast_charts(data.left),
            *stage_charts(data.stages),
            *arm_charts(data.arms),
            *worth_charts(data.worth),
        ]
        return tuple(
            Chart(section, caption, to_svg(figure, f"fig{place}", caption), tuple(panel_boxes(figure)))
            for place, (section, caption, figure) in enumerate(drawn, 1)
        )
