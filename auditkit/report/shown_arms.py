"""Each arm as the document and the screen show it: its standing, and its leakage dataset by dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auditkit.records import Estimate, View
from auditkit.report import formatting
from auditkit.report.arm_figures import (
    ACCURACY,
    LEAK,
    PERPLEXITY,
    Range,
    baseline_leaks,
    baseline_of,
    costs,
    fewer_generations,
    leak_changes,
    leak_metric,
    standing,
)
from auditkit.report.arms import Change, Mitigations
from auditkit.report.base import Arm, AuditReport

STANDING_WORDS = {
    "baseline": "No mitigation",
    "counts": "Viable",
    "failed": "Failed",
    "not_viable": "Not viable",
    "unknown": "Viability unknown",
    "meaningless": "Means nothing here",
}
STANDING_SIGNS = {"baseline": "", "counts": "", "failed": "✕", "not_viable": "□", "unknown": "◇", "meaningless": "○"}
ATTACKER_NAMES = {"open_weights": "open weights", "raw_api": "raw API", "chat_api": "chat API"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure and its interval, in words; ``reason`` says why there is none."""

    value: str
    interval: str = ""
    reason: str = ""


NOTHING = Cell("–")


@dataclass(frozen=True, slots=True)
class ShownArm:
    """An arm with its number in tables and charts; the baseline is 0."""

    number: int
    arm: Arm
    standing: str  # Standing, or "baseline"
    gate: str  # what the gate would say; "" where it was not asked
    recommended: bool
    best_so_far: bool
    reason: str  # why it does not count, "" where it does

    @property
    def attacker(self) -> str:
        """The attacker in a word or two."""
        return ATTACKER_NAMES.get(self.arm.attacker, self.arm.attacker)

    @property
    def sign(self) -> str:
        """A shape for its standing; "" where there is nothing against it."""
        return STANDING_SIGNS[self.standing]

    @property
    def word(self) -> str:
        """Its standing in words."""
        return STANDING_WORDS[self.standing]


@dataclass(frozen=True, slots=True)
class LeakRow:
    """One arm on one dataset."""

    shown: ShownArm
    plain: Cell
    plain_attack: str
    strongest: Cell
    strongest_attack: str
    difference: Cell
    reduction: Cell
    against: Cell  # the baseline under the strongest attack that this arm's attacker can make
    against_attack: str
    rise: Cell  # of control perplexity
    drop: Cell  # of task accuracy
    fewer: str  # why the two strongest attacks are not quite comparable; "" where they are


@dataclass(frozen=True, slots=True)
class LeakTable:
    """All arms on one dataset."""

    dataset: str
    view: View
    metric: str
    rows: list[LeakRow]


def shown_arms(report: AuditReport) -> list[ShownArm]:
    """The baseline and every arm, numbered in the order of the report; none where no mitigation was declared."""
    found = report.mitigations
    if found is None:
        return []
    baseline = baseline_of(report.arms)
    mitigated = [arm for arm in report.arms if arm is not baseline]
    return [_shown(number, arm, found) for number, arm in enumerate([baseline, *mitigated]) if arm is not None]


def _shown(number: int, arm: Arm, found: Mitigations) -> ShownArm:
    where = "baseline" if number == 0 else standing(arm)
    reasons = {
        "failed": arm.failed,
        "meaningless": arm.meaningless,
        "not_viable": " ".join([*map(_bare, arm.viability_reasons), arm.meaningless]).strip(),
        "unknown": " ".join([*map(_bare, arm.viability_reasons), arm.meaningless]).strip(),
    }
    return ShownArm(
        number=number,
        arm=arm,
        standing=where,
        gate=found.gate.get(arm.name, ""),
        recommended=number > 0 and arm.name == found.recommendation.arm,
        best_so_far=number > 0 and arm.name == found.recommendation.best_so_far,
        reason=reasons.get(where, ""),
    )


def _bare(reason: str) -> str:
    """A reason without the word that stands before it in any case."""
    return reason.removeprefix("Not viable: ").removeprefix("Not decided: ")


def leak_scopes(report: AuditReport) -> list[tuple[str, View]]:
    """The datasets whose leakage was compared, each in one view; where no arm could be, those of the baseline."""
    if report.mitigations is None:
        return []
    compared = dict.fromkeys((change.dataset, change.view) for change in leak_changes(report.mitigations.changes))
    baseline = baseline_of(report.arms)
    if compared or baseline is None:
        return list(compared)
    scopes = dict.fromkeys((one.dataset, one.view) for one in baseline.estimates if one.metric == LEAK)
    return [(dataset, view) for dataset, view in scopes if view == "record" or (dataset, "record") not in scopes]


def leak_tables(report: AuditReport) -> list[LeakTable]:
    """A table of all arms for each of these datasets."""
    if report.mitigations is None:
        return []
    changes, arms = report.mitigations.changes, shown_arms(report)
    return [
        LeakTable(
            dataset, view, leak_metric(changes), [_row(shown, arms[0].arm, dataset, view, changes) for shown in arms]
        )
        for dataset, view in leak_scopes(report)
    ]


def _row(shown: ShownArm, baseline: Arm, dataset: str, view: View, changes: Sequence[Change]) -> LeakRow:
    if shown.number == 0:
        return _baseline_row(shown, dataset, view, leak_metric(changes))
    own = [c for c in leak_changes(changes) if (c.arm, c.dataset, c.view) == (shown.arm.name, dataset, view)]
    plain = max((c for c in own if c.comparison == "plain"), key=lambda c: c.baseline.value or 0.0, default=None)
    hardest = next((c for c in own if c.comparison == "strongest"), None)
    spent = {metric: dict(costs(shown.arm.name, changes, metric)).get(dataset) for metric in (PERPLEXITY, ACCURACY)}
    return LeakRow(
        shown=shown,
        plain=cell(plain.mitigated) if plain else NOTHING,
        plain_attack=plain.arm_attack if plain else "",
        strongest=cell(hardest.mitigated) if hardest else NOTHING,
        strongest_attack=hardest.arm_attack if hardest else "",
        difference=cell(hardest.difference, written(hardest.metric)) if hardest else NOTHING,
        reduction=cell(hardest.reduction, formatting.percent) if hardest else NOTHING,
        against=cell(hardest.baseline) if hardest else NOTHING,
        against_attack=hardest.baseline_attack if hardest else "",
        rise=range_cell(spent[PERPLEXITY], formatting.change),
        drop=range_cell(_turned(spent[ACCURACY]), formatting.points),
        fewer=fewer_generations(hardest, shown.arm, baseline) if hardest else "",
    )


def _baseline_row(shown: ShownArm, dataset: str, view: View, metric: str) -> LeakRow:
    leak = baseline_leaks(shown.arm, dataset, view, metric)
    found, attack = (cell(leak), leak.attack) if leak else (NOTHING, "")
    return LeakRow(shown, found, attack, found, attack, NOTHING, NOTHING, NOTHING, "", NOTHING, NOTHING, "")


def written(metric: str) -> Callable[[float | None], str]:
    """How a difference in this metric is written: whoever makes it may call it by another name."""
    return formatting.points if formatting.is_share(metric) else lambda amount: formatting.value(metric, amount)


def cell(estimate: Estimate, words: Callable[[float | None], str] | None = None) -> Cell:
    """An estimate as a cell; ``words`` writes a figure, by default as its metric is written."""
    write = words or (lambda amount: formatting.value(estimate.metric, amount))
    if estimate.low is None and estimate.high is None:
        return Cell(write(estimate.value), "", estimate.reason)
    ends = ("unbounded" if end is None else write(end) for end in (estimate.low, estimate.high))
    return Cell(write(estimate.value), _from_to(*ends), estimate.reason)


def _from_to(low: str, high: str) -> str:
    """An interval for a narrow column: the unit once, where both ends have the same."""
    (start, _, unit), (_, _, other) = low.partition(formatting.NBSP), high.partition(formatting.NBSP)
    return f"{start if unit == other else low} to {high}"


def range_cell(found: Range | None, words: Callable[[float | None], str]) -> Cell:
    """A range as a cell."""
    return Cell(words(found.value), _from_to(words(found.low), words(found.high))) if found else NOTHING


def _turned(found: Range | None) -> Range | None:
    return Range(-found.value, -found.high, -found.low) if found else None
