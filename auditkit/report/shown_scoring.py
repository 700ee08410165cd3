"""Thresholds, forecasts and power as the pages' tables and sentences have them. No figure is made here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditkit.report import formatting
from auditkit.report.base import AuditReport, RulePower
from auditkit.report.formatting import NBSP
from auditkit.report.scored import BudgetForecast, Foreseen, LengthCheck, ThresholdCurve, ThresholdPoint

COARSE = 0.05  # of the thresholds shown; all of them are in audit.json and in the figure
EVEN = 1e-9


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """One threshold; ``matched`` is the point with members of like length, None where there is no such curve."""

    in_use: bool
    point: ThresholdPoint
    matched: ThresholdPoint | None


@dataclass(frozen=True, slots=True)
class ThresholdTable:
    """One attack on one dataset."""

    at_random: ThresholdCurve
    matched: ThresholdCurve | None
    rows: list[ThresholdRow]


def threshold_tables(report: AuditReport) -> list[ThresholdTable]:
    """A table for each dataset and attack, in the order of the report."""
    in_use = {(entry.dataset, entry.view): entry.threshold for entry in report.calibration}
    curves = {(curve.dataset, curve.attack, curve.view, curve.drawn): curve for curve in report.thresholds}
    tables = []
    for (dataset, attack, view, drawn), curve in curves.items():
        if drawn != "at_random":
            continue
        matched = curves.get((dataset, attack, view, "by_length"))
        beside = {point.threshold: point for point in matched.points} if matched else {}
        threshold = in_use.get((dataset, view))
        rows = [
            ThresholdRow(point.threshold == threshold, point, beside.get(point.threshold))
            for point in curve.points
            if point.threshold == threshold or _coarse(point.threshold)
        ]
        tables.append(ThresholdTable(curve, matched, rows))
    return tables


def _coarse(threshold: float) -> bool:
    steps = threshold / COARSE
    return abs(steps - round(steps)) < EVEN or threshold > 1 - COARSE / 2


def forecast_sentences(report: AuditReport) -> list[str]:
    """What each attack would find with twice the generations, and what it tends to."""
    return [_forecast(one) for one in report.forecasts]


def _forecast(one: BudgetForecast) -> str:
    of = f"“{one.attack}” on “{one.dataset}” ({one.view} view)"
    if one.at_twice is None or one.unseen_mass is None or one.reachable is None:
        return f"{of}: no forecast, because {one.reason}."
    share = one.clusters_hit / one.clusters
    so_far = (
        f"{of}: {formatting.count(one.generations)} generations reached {formatting.percent(share)} of the records; "
        f"{formatting.count(2 * one.generations)} would reach {_with_interval(one.at_twice)}."
    )
    if one.reachable.value <= share:
        return f"{so_far} Nothing that was hit hints at more than was found."
    return (
        f"{so_far} With ever more of them, coverage tends to {formatting.percent(one.reachable.value)} or more (a "
        f"lower bound, itself not under {formatting.percent(one.reachable.low)})."
    )


def _with_interval(one: Foreseen) -> str:
    ends = " to ".join(formatting.percent(end) for end in (one.low, one.high))
    return f"{formatting.percent(one.value)} (95{NBSP}% interval {ends})"


def length_sentence(check: LengthCheck) -> str:
    """Whether members and controls can be compared as they are."""
    medians = f"{formatting.count(check.members)} and {formatting.count(check.controls)}"
    found = (
        f"“{check.dataset}” ({check.view} view): members and controls have medians of {medians} characters; a member "
        f"is longer than a control in {formatting.percent(check.auc)} of pairs (95{NBSP}% interval "
        f"{formatting.percent(check.low)} to {formatting.percent(check.high)})"
    )
    if check.differ:
        return f"{found}. They differ in length enough to matter: read the figures of like length."
    return f"{found}, which is too near to one half to matter."


def power_rows(powers: Sequence[RulePower]) -> Iterator[tuple[RulePower, list[str]]]:
    """Each rule with its cells: declared, to pass, to detect with 80 % and 95 %, probability to detect."""
    for power in powers:
        needed = (power.declared, power.to_pass, power.to_detect_80, power.to_detect_95)
        counts = ["–" if amount is None else formatting.count(amount) for amount in needed]
        yield power, [*counts, "–" if power.detects is None else formatting.percent(power.detects)]
