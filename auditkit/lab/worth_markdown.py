"""The result of ``lab worth`` as Markdown, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditkit.lab.mitigations_result import T_INTERVAL
from auditkit.lab.worth_figures import picture_name
from auditkit.lab.worth_result import FamilyWorth, LabWorth
from auditkit.records import Estimate
from auditkit.report import formatting
from auditkit.report.safe_text import safe_line
from auditkit.report.worth import ArmResult, TrainedArm

NONE = "–"
METHODS = {"sft": "supervised fine-tuning", "dr_grpo": "Dr. GRPO"}
RIGHT, SHARE = "held-out tasks right", "share of the originals' gain"
_ARMS = ("trained on", "rows", RIGHT, "above the base", SHARE, "each training")
_BUDGETS = ("generations", "tokens", "kept", "rows", RIGHT, SHARE)
_TRUTH = (
    "rows",
    "different",
    "right",
    "members to the letter",
    "a member's question",
    "a member's problem",
    "a task's",
)


def markdown(found: LabWorth) -> str:
    """Everything as a page."""
    parts = [f"# What the leak of the family {found.recipe} is worth", _introduction(found)]
    for family in found.families:
        parts += _family(family)
    return "\n\n".join(parts) + "\n"


def _introduction(found: LabWorth) -> str:
    first = found.families[0].worth
    families = "1 family" if len(found.families) == 1 else f"{len(found.families)} families"
    sizes = ", ".join(dict.fromkeys(f"{family.parameters:,}" for family in found.families if family.parameters))
    seconds = " and ".join(formatting.duration(family.seconds) for family in found.families)
    return (
        f"{families} ({sizes} parameters), each with data, weights and order of a seed of its own. An attacker "
        f"samples the model that leaks {first.dataset}, filters what comes out, and trains the model before that stage "
        f"on it by the stage's own recipe ({METHODS[first.method]}); so do an owner of the originals and somebody with "
        f"as many records of the kind that were never trained on (controls), {first.seeds} times each. All are asked "
        "the same held-out tasks. Intervals are 95 %, over trainings and questions. "
        f"The audits took {seconds} on {', '.join(found.machine.values())}."
        f"{_over_families(found)}"
    )


def _over_families(found: LabWorth) -> str:
    shown = found.recovered
    if shown.value is None:
        return f" No share of the gain can be told: {shown.reason}."
    if shown.seeds < 2 or shown.method != T_INTERVAL:
        return ""
    ends = f"{formatting.percent(shown.low)} to {formatting.percent(shown.high)}"
    return f" Over the families the attacker recovers {formatting.percent(shown.value)} of the gain ({ends})."


def _family(family: FamilyWorth) -> Iterator[str]:
    yield f"## Seed {family.seed}"
    yield _verdict(family)
    yield _table(_ARMS, list(_arm_rows(family)))
    if family.worth.tasks:
        yield f"![What the attacker's budget buys, seed {family.seed}]({picture_name(family)})"
    yield "What the attacker's budget buys:"
    yield _table(_BUDGETS, list(_budget_rows(family)))
    yield f"What became of the generations: {_filtered(family)}."
    yield "What the lab knows of what can be trained on, at the whole budget:"
    yield _table(_TRUTH, [_truth_row(family)])


def _verdict(family: FamilyWorth) -> str:
    task = family.worth.tasks[0] if family.worth.tasks else None
    if task is None:
        return f"Inconclusive: {family.worth.failed}."
    words = {
        "recovers": "The attacker recovers a share of the gain",
        "nothing_shown": "That the attacker recovers anything is not shown",
        "inconclusive": "Inconclusive",
    }[task.verdict]
    reason = f": {task.reason}" if task.reason else ""
    leak = "; ".join(f"{one.metric.replace('_', ' ')} {formatting.estimate_value(one)}" for one in family.leak)
    return (
        f"{words}{reason}. {task.questions} held-out tasks. The model that leaks answers "
        f"{formatting.percent(family.candidate)} of them itself. Its leak as the audit has it: {leak}."
    )


def _arm_rows(family: FamilyWorth) -> Iterator[list[str]]:
    rows = {(arm.arm, arm.budget): arm for arm in family.worth.arms}
    for task in family.worth.tasks[:1]:
        for result in task.results:
            yield _arm_row(result, rows.get((result.arm, result.budget)))
    if family.floor:
        trainings = ", ".join(formatting.percent(value) for value in family.floor.by_seed)
        name = f"{family.floor.dataset}, which is unrelated"
        yield [name, f"{family.floor.rows:,}", _estimate(family.floor.score), NONE, NONE, trainings]


def _arm_row(result: ArmResult, arm: TrainedArm | None) -> list[str]:
    budget = "" if result.budget is None else f", {formatting.percent(result.budget)} of the budget"
    return [
        f"{'nothing: the base' if result.arm == 'base' else result.arm}{budget}",
        f"{arm.rows:,}" if arm else "0",
        _estimate(result.score),
        _estimate(result.gain),
        _estimate(result.recovered),
        ", ".join(formatting.percent(value) for value in result.by_seed),
    ]


def _budget_rows(family: FamilyWorth) -> Iterator[list[str]]:
    results = {one.budget: one for task in family.worth.tasks[:1] for one in task.results if one.arm == "extractions"}
    for budget in family.worth.budgets:
        result = results.get(budget.share)
        yield [
            f"{budget.generations:,}",
            f"{budget.tokens:,}",
            f"{budget.kept:,}",
            f"{budget.rows:,}",
            _estimate(result.score if result else None),
            _estimate(result.recovered if result else None),
        ]


def _filtered(family: FamilyWorth) -> str:
    last = family.worth.budgets[-1]
    reasons = [f"{count:,} {reason}" for reason, count in last.dropped.items()]
    return ", ".join([f"{last.kept:,} of {last.generations:,} kept", *reasons])


def _truth_row(family: FamilyWorth) -> list[str]:
    truth = family.truth
    counts = (
        truth.kept,
        truth.distinct,
        truth.right,
        truth.members,
        truth.member_questions,
        truth.member_problems,
        truth.task_problems,
    )
    return [f"{count:,}" for count in counts]


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return NONE
    shown = [NONE if end is None else formatting.percent(end) for end in (estimate.low, estimate.high)]
    ends = f" [{shown[0]}, {shown[1]}]" if NONE not in shown else ""
    return f"{formatting.percent(estimate.value)}{ends}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(safe_line(cell, 300).replace('|', '⟨U+007C⟩') for cell in row)} |" for row in lines
    )
