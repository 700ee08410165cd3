"""The arms on the closing screen: one line an arm, and what is recommended."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditkit.report import formatting, wording
from auditkit.report.arm_figures import (
    PERPLEXITY,
    Range,
    baseline_leaks,
    baseline_of,
    cost_metric,
    fewer_generations,
    largest_cost,
    leak_metric,
    smallest_reduction,
    strongest,
)
from auditkit.report.base import Arm, AuditReport
from auditkit.report.definitions import title
from auditkit.report.safe_text import safe_line
from auditkit.report.shown_arms import ShownArm, leak_scopes, shown_arms

MOST_ARMS = 20
WIDE = 76  # columns
SHORT = {"failed": "failed", "not_viable": "not viable", "unknown": "viable?", "meaningless": "meaningless"}
STYLES = {"pass": "bold green", "fail": "red", "inconclusive": "yellow"}
FEWER = "* attacked with fewer generations than the baseline: coverage grows with them."
WORST = "Where there are several datasets: the most leaked, the least reduced, the dearest."


def render_arms(report: AuditReport, width: int) -> list[RenderableType]:
    """What each mitigation leaves of the leak and costs, and the recommendation; nothing where none was declared.

    ``width`` is the terminal's, in columns: intervals are left to the reports where they would not fit.
    """
    found = report.mitigations
    if found is None:
        return []
    metric, arms = leak_metric(found.changes), shown_arms(report)
    wide = width >= WIDE
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("arm", ratio=1, overflow="fold", min_width=12, header_style="dim")
    for heading in ("leak", "reduced by", _cost_heading(report) if wide else "cost"):
        table.add_column(heading, justify="right", header_style="dim", no_wrap=True)
    table.add_column("gate", header_style="dim", no_wrap=True)
    for shown in arms[: MOST_ARMS + 1]:
        table.add_row(*_cells(report, shown, metric, intervals=wide))
    parts: list[RenderableType] = [Text(), Text(f"Mitigations: {title(metric)} under the strongest attack", "bold")]
    parts.append(Padding(table, (0, 0, 0, 2)))
    parts += [Padding(Text(line, "dim"), (0, 0, 0, 2)) for line in _notes(report, len(arms) - 1)]
    parts += [Padding(Text(_failure(shown)), (0, 0, 0, 2)) for shown in arms[: MOST_ARMS + 1] if shown.arm.failed]
    advice = Text("Recommendation: ", "bold")
    advice.append(safe_line(found.recommendation.sentence, 600), "not bold")
    return [*parts, Padding(advice, (0, 0, 0, 2))]


def _cost_heading(report: AuditReport) -> str:
    assert report.mitigations is not None
    return {PERPLEXITY: "perplexity", None: "cost"}.get(cost_metric(report.mitigations.changes), "accuracy")


def _notes(report: AuditReport, arms: int) -> Iterator[str]:
    if len(leak_scopes(report)) > 1:
        yield WORST
    if any(_fewer(report, arm) for arm in report.arms):
        yield FEWER
    if arms > MOST_ARMS:
        yield f"{arms - MOST_ARMS} more arms, in the reports"


def _fewer(report: AuditReport, arm: Arm) -> str:
    """A mark where an arm's strongest attack had fewer generations than the baseline's."""
    baseline = baseline_of(report.arms)
    assert report.mitigations is not None
    found = strongest(arm.name, report.mitigations.changes)
    return "*" if baseline and any(fewer_generations(change, arm, baseline) for change in found) else ""


def _failure(shown: ShownArm) -> str:
    return f"{shown.sign} {safe_line(shown.arm.name, 60)} failed: {safe_line(shown.arm.failed, 400)}"


def _cells(report: AuditReport, shown: ShownArm, metric: str, intervals: bool) -> list[Text]:
    assert report.mitigations is not None
    changes, name = report.mitigations.changes, shown.arm.name
    if shown.number:
        leaks = [change.mitigated.value for change in strongest(name, changes)]
    else:
        found = (baseline_leaks(shown.arm, dataset, view, metric) for dataset, view in leak_scopes(report))
        leaks = [one.value for one in found if one]
    worst = max((leak for leak in leaks if leak is not None), default=None)
    reduction = smallest_reduction(name, changes)
    return [
        Text(safe_line(name, 60), "bold" if shown.recommended else ""),
        Text("–" if worst is None else formatting.value(metric, worst)),
        Text(_reduced(reduction.range, intervals) + _fewer(report, shown.arm) if reduction else "–"),
        Text(_cost(report, name)),
        Text(*_standing(shown)),
    ]


def _reduced(reduction: Range, intervals: bool) -> str:
    value = formatting.percent(reduction.value)
    if not intervals:
        return value
    low, high = (f"{100 * end:.0f}".replace("-", "−") for end in (reduction.low, reduction.high))
    return f"{value} ({low} to {high})"


def _cost(report: AuditReport, name: str) -> str:
    assert report.mitigations is not None
    metric = cost_metric(report.mitigations.changes)
    cost = largest_cost(name, report.mitigations.changes, metric)
    if cost is None:
        return "–"
    return formatting.change(cost.value) if metric == PERPLEXITY else formatting.points(-cost.value)


def _standing(shown: ShownArm) -> tuple[str, str]:
    """The gate's word on an arm that counts, else why it does not; with its style."""
    if shown.standing in ("baseline", "counts") and shown.gate:
        return f"{wording.OUTCOME_SIGNS[shown.gate]} {shown.gate}", STYLES.get(shown.gate, "")
    return f"{shown.sign} {SHORT.get(shown.standing, '–')}".strip(), "dim"
