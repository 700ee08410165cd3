"""What an arm leaks, what it takes away and what it costs, read off its changes. No figure is made here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from auditkit.records import Estimate, View
from auditkit.report.arms import Change
from auditkit.report.base import Arm

LEAK, PERPLEXITY, ACCURACY = "adjusted_coverage", "control_perplexity", "task_accuracy"
# By what leakage is told, first choice first: where no threshold could be set, only strings are left.
LEAKS = (LEAK, "coverage", "adjusted_semantic_rate", "semantic_memorisation_rate", "string_memorisation_rate")
Standing = Literal["counts", "failed", "not_viable", "unknown", "meaningless"]


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with the ends of its 95 % interval; without an interval they are the figure itself."""

    value: float
    low: float
    high: float

    def overlaps(self, other: Range) -> bool:
        """Whether the two intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high

    @classmethod
    def of(cls, estimate: Estimate | None) -> Range | None:
        """None where the estimate has no value."""
        if estimate is None or estimate.value is None:
            return None
        low = estimate.value if estimate.low is None else estimate.low
        return cls(estimate.value, low, estimate.value if estimate.high is None else estimate.high)


@dataclass(frozen=True, slots=True)
class Reduction:
    """The relative reduction of an arm on the dataset where it is smallest."""

    dataset: str
    range: Range


def standing(arm: Arm) -> Standing:
    """Whether an arm counts, or the gravest reason why it does not."""
    if arm.failed:
        return "failed"
    if arm.viability != "viable":
        return arm.viability
    return "meaningless" if arm.meaningless else "counts"


def fewer_generations(change: Change, arm: Arm, baseline: Arm) -> str:
    """Why two attacks cannot quite be compared: coverage grows with generations; "" where the arm's had as many."""
    had, against = arm.generations.get(change.arm_attack, 0), baseline.generations.get(change.baseline_attack, 0)
    if "coverage" not in change.metric or not 0 < had < against:
        return ""
    return f"from {had:,} generations, against {against:,} on the baseline: coverage grows with them"


def baseline_of(arms: Iterable[Arm]) -> Arm | None:
    """The arm without a mitigation."""
    return next((arm for arm in arms if arm.mitigation is None), None)


def shown_arm(arms: Sequence[Arm], shipping: str) -> Arm | None:
    """Whose generations, findings and probes a report shows: those of the arm that ships, or the baseline's where that
    could not be measured, or means nothing against the planned release's attacker."""
    chosen = next((arm for arm in arms if arm.name == shipping), None)
    return baseline_of(arms) if chosen is None or chosen.failed or chosen.meaningless else chosen


def leak_metric(changes: Sequence[Change]) -> str:
    """What leakage is told by: adjusted coverage, or what there is instead."""
    metrics = {change.metric for change in changes if change.comparison == "strongest"}
    return next((metric for metric in LEAKS if metric in metrics), min(metrics, default=LEAK))


def leak_changes(changes: Sequence[Change]) -> list[Change]:
    """The plain and strongest comparisons of leakage: of each dataset one view, whole records where it has any."""
    metric = leak_metric(changes)
    found = [change for change in changes if change.comparison != "utility" and change.metric == metric]
    whole = {change.dataset for change in found if change.view == "record"}
    return [change for change in found if change.view == "record" or change.dataset not in whole]


def strongest(arm: str, changes: Sequence[Change]) -> list[Change]:
    """An arm's comparisons under its strongest attack, one a dataset."""
    return [change for change in leak_changes(changes) if (change.arm, change.comparison) == (arm, "strongest")]


def smallest_reduction(arm: str, changes: Sequence[Change]) -> Reduction | None:
    """Never pooled: an arm helps as much as it does where it helps least. None where no baseline leak was shown."""
    found = [
        Reduction(change.dataset, reduction)
        for change in strongest(arm, changes)
        if (reduction := Range.of(change.reduction)) is not None
    ]
    return min(found, key=lambda one: (one.range.value, one.range.low, one.dataset), default=None)


def baseline_leaks(arm: Arm, dataset: str, view: View, metric: str = LEAK) -> Estimate | None:
    """What the strongest attack gets out of the baseline."""
    found = [
        each
        for each in arm.estimates
        if (each.dataset, each.view, each.metric) == (dataset, view, metric) and each.value is not None
    ]
    return max(found, key=lambda each: each.value or 0.0, default=None)


def perplexity_rise(change: Change) -> Range | None:
    """Relative rise of a perplexity against the baseline's; 0.1 is a tenth more."""
    fallen = Range.of(change.reduction)
    if fallen is not None:
        return Range(-fallen.value, -fallen.high, -fallen.low)
    risen, before = Range.of(change.difference), change.baseline.value
    return Range(risen.value / before, risen.low / before, risen.high / before) if risen and before else None


def accuracy_drop(change: Change) -> Range | None:
    """Drop of an accuracy against the baseline's, in points as a share."""
    risen = Range.of(change.difference)
    return Range(-risen.value, -risen.high, -risen.low) if risen else None


def costs(arm: str, changes: Sequence[Change], metric: str) -> Iterator[tuple[str, Range]]:
    """What an arm costs in one metric, dataset by dataset: the more, the dearer."""
    for change in changes:
        if (change.arm, change.comparison, change.metric) == (arm, "utility", metric):
            cost = perplexity_rise(change) if metric == PERPLEXITY else accuracy_drop(change)
            if cost is not None:
                yield change.dataset, cost


def cost_metric(changes: Sequence[Change]) -> str | None:
    """What cost is told by: perplexity, or accuracy where no arm has a perplexity; None where neither was measured."""
    measured = {change.metric for change in changes if change.comparison == "utility"}
    return next((metric for metric in (PERPLEXITY, ACCURACY) if metric in measured), None)


def largest_cost(arm: str, changes: Sequence[Change], metric: str | None) -> Range | None:
    """Never pooled either: an arm costs what it costs on the dataset where it costs most."""
    found = [cost for _, cost in costs(arm, changes, metric)] if metric else []
    return max(found, key=lambda cost: (cost.value, cost.high), default=None)
