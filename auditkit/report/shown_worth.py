"""What the leak is worth as readers see it: a sentence a task, and the cells of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from auditkit.records import Estimate
from auditkit.report import formatting
from auditkit.report.base import AuditReport
from auditkit.report.definitions import title
from auditkit.report.worth import ArmResult, AttackBudget, TrainedArm, Worth, WorthArmName, WorthTask

HEADING = "What the leak is worth"
ARMS = {
    "base": "Base, as it is",
    "originals": "Originals",
    "controls": "Controls",
    "extractions": "Extractions",
}
METHODS = {"sft": "supervised fine-tuning", "dr_grpo": "reinforcement learning (Dr. GRPO)"}
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Figured:
    """A figure with its interval, as text."""

    value: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One arm on one task."""

    arm: str
    rows: str
    score: Figured
    gain: Figured
    recovered: Figured
    by_seed: str
    attacker: bool


@dataclass(frozen=True, slots=True)
class ShownTask:
    """One task with its table."""

    task: WorthTask
    metric: str
    sentence: str
    rows: list[ScoreRow]


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """What one budget bought."""

    share: str
    budget: AttackBudget
    dropped: str


@dataclass(frozen=True, slots=True)
class ShownWorth:
    """The section."""

    worth: Worth
    method: str
    tasks: list[ShownTask]
    budgets: list[BudgetRow]
    trainings: list[tuple[str, TrainedArm, str]]
    recipe: list[tuple[str, str]]
    filter: list[tuple[str, str]]


def shown_worth(report: AuditReport) -> ShownWorth | None:
    """The section; None where the policy declares none."""
    found = report.worth
    if found is None:
        return None
    return ShownWorth(
        worth=found,
        method=METHODS[found.method],
        tasks=[_task(found, task) for task in found.tasks],
        budgets=[BudgetRow(formatting.percent(one.share), one, _dropped(one)) for one in found.budgets],
        trainings=[(arm_name(arm), arm, _learned(found, arm)) for arm in found.arms if arm.rows],
        recipe=[(name, _flat(value)) for name, value in found.recipe.items()],
        filter=[(name, _flat(value)) for name, value in found.filter.items()],
    )


def worth_sentences(report: AuditReport) -> list[str]:
    """What the section comes to: one sentence a task, or why there is none."""
    found = report.worth
    if found is None:
        return []
    if found.failed:
        return [f"Nothing was measured for “{found.dataset}”: {found.failed}."]
    return [sentence(found, task) for task in found.tasks]


def sentence(found: Worth, task: WorthTask) -> str:
    """What one task says of the largest budget, and what controls teach."""
    last = _last(task)
    of = f"on “{task.name}”"
    if last is None or last.recovered is None or last.recovered.value is None:
        return f"Inconclusive {of}: {task.reason}{_full_gain(task)}. No share of it can be told."
    share = f"{formatting.percent(last.recovered.value)} ({formatting.interval(last.recovered)})"
    budget = found.budgets[-1]
    cost = f"With {budget.generations:,} generations ({budget.tokens:,} tokens)"
    if task.verdict == "recovers":
        said = f"{cost}, an attacker recovers {share} of what the originals teach {of}."
    else:
        said = f"{cost}, no share of what the originals teach {of} is shown to be recovered: {share}."
    return " ".join([said, *_of_controls(task)])


def worth_metrics(report: AuditReport) -> list[str]:
    """The metrics that the section speaks of."""
    results = [one for task in report.worth.tasks for one in task.results] if report.worth else []
    return list(dict.fromkeys(e.metric for one in results for e in (one.score, one.recovered) if e is not None))


def arm_name(arm: ArmResult | TrainedArm) -> str:
    """What an arm is called, its budget included."""
    return ARMS[arm.arm] if arm.budget is None else f"{ARMS[arm.arm]}, {formatting.percent(arm.budget)} of the budget"


def _last(task: WorthTask) -> ArmResult | None:
    extracted = [one for one in task.results if one.arm == "extractions"]
    return extracted[-1] if extracted else None


def _full_gain(task: WorthTask) -> str:
    gain = next((one.gain for one in task.results if one.arm == "originals"), None)
    if gain is None or gain.value is None:
        return ""
    shown = _gain(gain)
    return f", their gain is {shown.value} ({shown.interval})"


def _of_controls(task: WorthTask) -> Iterator[str]:
    found = next((one.recovered for one in task.results if one.arm == "controls"), None)
    if found is not None and found.value is not None:
        share = f"{formatting.percent(found.value)} ({formatting.interval(found)})"
        yield f"As many records of the same kind that the model never saw teach {share} of it."


def _task(found: Worth, task: WorthTask) -> ShownTask:
    metric = title(task.results[0].score.metric) if task.results else ""
    rows = {(arm.arm, arm.budget): arm.rows for arm in found.arms}
    return ShownTask(task, metric, sentence(found, task), [_row(one, rows) for one in task.results])


def _row(one: ArmResult, rows: Mapping[tuple[WorthArmName, float | None], int]) -> ScoreRow:
    trained = rows.get((one.arm, one.budget), 0)
    return ScoreRow(
        arm=arm_name(one),
        rows=f"{trained:,}" if trained or one.arm != "base" else NOTHING,
        score=_figure(one.score),
        gain=_gain(one.gain),
        recovered=_figure(one.recovered),
        by_seed=", ".join(formatting.value(one.score.metric, value) for value in one.by_seed),
        attacker=one.arm == "extractions",
    )


def _figure(estimate: Estimate | None) -> Figured:
    if estimate is None or estimate.value is None:
        return Figured(NOTHING)
    return Figured(formatting.estimate_value(estimate), formatting.interval(estimate))


def _gain(estimate: Estimate | None) -> Figured:
    """A difference: in percentage points where the score is a share."""
    if estimate is None or estimate.value is None:
        return Figured(NOTHING)
    if not formatting.is_share(estimate.metric):
        return _figure(estimate)
    ends = (formatting.points(end) for end in (estimate.low, estimate.high))
    low, high = (end.removesuffix(f"{formatting.NBSP}points") for end in ends)
    return Figured(formatting.points(estimate.value), f"{low} to {high}")


def _dropped(budget: AttackBudget) -> str:
    told = [f"{reason} {number:,}" for reason, number in budget.dropped.items()]
    if budget.held_out:
        told.append(f"asks what a task asks {budget.held_out:,}")
    unusable = budget.kept - budget.held_out - budget.usable
    if unusable:
        told.append(f"kept, but not to be trained on {unusable:,}")
    return "; ".join(told) or "none"


def _learned(found: Worth, arm: TrainedArm) -> str:
    if arm.failed:
        return f"failed: {arm.failed}"
    if arm.before is None or arm.after is None:
        return NOTHING
    words = "nats a token" if found.method == "sft" else "mean reward"
    return f"{words} {formatting.number(arm.before, 3)} to {formatting.number(arm.after, 3)}"


def _flat(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else formatting.number(value, 6)
