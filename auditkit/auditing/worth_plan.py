"""What each arm of ``worth`` may train on: the generations filtered budget by budget, and as many originals and
controls."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile

from auditkit.attacks.base import Attack
from auditkit.auditing import generations
from auditkit.auditing.blinding import blind
from auditkit.auditing.context import Context
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.progress import single
from auditkit.auditing.worth_filter import opened_judge
from auditkit.errors import AuditkitError
from auditkit.files import write_bytes
from auditkit.policy.schema import Policy, Worth
from auditkit.worth.base import Extraction, Filtered
from auditkit.worth.extractions import extractions
from auditkit.worth.filtering import filtered
from auditkit.worth.tasks import HeldOut, asked_words, read_tasks, refuse_known
from auditkit.worth.training import Lesson, of_extractions, of_records

Tasks = dict[str, list[HeldOut]]


@dataclass(frozen=True)
class BudgetPlan:
    """What so many of the attack's generations leave: ``usable`` are the ordinals of what can be trained on."""

    share: float
    generations: int
    tokens: int
    kept: int
    held_out: int
    usable: list[int]
    dropped: dict[str, int]


@dataclass(frozen=True)
class Plan:
    """Decided once a run. ``rows``: that every arm trains on, but for smaller budgets. ``reasons`` are of the largest
    budget: ordinal -> why the filter dropped it. ``tasks`` are digests, so that a resumed run asks the same.
    ``mistakes`` are specimens that the judge gets wrong."""

    rows: int
    available: dict[str, int]
    budgets: list[BudgetPlan]
    tasks: dict[str, str]
    reasons: dict[str, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    blind: str = ""


@dataclass(frozen=True)
class Lessons:
    """The texts behind a plan."""

    originals: list[Lesson]
    controls: list[Lesson]
    extractions: dict[float, list[Lesson]]  # by budget


def valued_dataset(policy: Policy, section: Worth) -> str | None:
    """The dataset whose leak is valued; None where the policy leaves it open."""
    if section.dataset:
        return section.dataset
    trained = [data.name for data in policy.datasets if data.stage in ("sft", "rl")]
    return trained[0] if len(trained) == 1 else None


def valued_attack(policy: Policy, section: Worth) -> Attack | None:
    """The attack whose generations are trained on; None where there is none such."""
    if section.attack is None:
        return policy.through_template
    named = [attack for attack in policy.prefix_attacks if section.attack in (attack.label, attack.kind)]
    return named[0] if named else None


def read_all_tasks(policy: Policy, section: Worth, datasets: Sequence[PreparedDataset]) -> Tasks:
    """Every task's questions.

    Raises:
        DataError: a file cannot be read, or asks what a member or a control asks.
    """
    records = [record for data in datasets for side in (data.members, data.controls) for record in side.records]
    found = {}
    for task in section.tasks:
        found[task.name] = read_tasks(task, policy.seed)
        refuse_known(task, found[task.name], records)
    return found


def plan_of(context: Context, section: Worth, data: PreparedDataset, attack: Attack, tasks: Tasks) -> Plan:
    """The plan of this run, made by the first process that comes here.

    Raises:
        AuditkitError: the tasks are others than when the run began.
        RunError: the judge is out of reach.
    """
    path = context.run.worth_file("plan")
    if not path.exists():
        with single(context.progress, "filter what came out"):
            made = _planned(context, section, data, attack, tasks)
        write_bytes(path, json.dumps(asdict(made), allow_nan=False).encode())
        context.log.append("worth_planned", rows=made.rows)
    kept = json.loads(path.read_bytes())
    found = Plan(**{**kept, "budgets": [BudgetPlan(**one) for one in kept["budgets"]]})
    if found.tasks != {name: _digest(held) for name, held in tasks.items()}:
        raise AuditkitError("the tasks of worth changed since the run began", "put back what was there")
    return found


def lessons_of(context: Context, section: Worth, data: PreparedDataset, attack: Attack, plan: Plan) -> Lessons:
    """The texts that the plan speaks of."""
    wanted = {ordinal for budget in plan.budgets for ordinal in budget.usable}
    read = generations.read(context.run.generations_file(attack.label), only=wanted, tokens=False)
    by_ordinal = {one.ordinal: one for batch in read for one in extractions(batch, data.trace)}
    return Lessons(
        of_records(data.members.records, section.recipe),
        of_records(data.controls.records, section.recipe),
        {
            budget.share: of_extractions((by_ordinal[at] for at in budget.usable), section.recipe)
            for budget in plan.budgets
        },
    )


def rows_for(plan: Plan, budget: BudgetPlan, group: int) -> int:
    """Rows that an attacker with this budget trains on: as many as the other arms, or what there is."""
    return min(plan.rows, len(budget.usable)) // group * group


def _planned(context: Context, section: Worth, data: PreparedDataset, attack: Attack, tasks: Tasks) -> Plan:
    asked = {asked_words(task.prompt) for held in tasks.values() for task in held}
    budgets, last = [], Filtered((), {})
    with opened_judge(context, section.filter) as judge:
        mistakes = judge.mistakes() if judge else []
        for share in section.budgets:
            count = math.ceil(share * attack.samples)
            last = filtered(_first(context, data, attack, count), section.filter, judge)
            budgets.append(_budget(context, section, attack, share, last, asked))
    available = {
        "originals": len(of_records(data.members.records, section.recipe)),
        "controls": len(of_records(data.controls.records, section.recipe)),
        "extractions": len(budgets[-1].usable),
    }
    rows = min(section.records, *available.values()) // section.recipe.group * section.recipe.group
    digests = {name: _digest(held) for name, held in tasks.items()}
    reasons = {str(ordinal): reason for ordinal, reason in last.dropped.items()}
    return Plan(rows, available, budgets, digests, reasons, mistakes, blind())


def _budget(  # noqa: PLR0917
    context: Context, section: Worth, attack: Attack, share: float, found: Filtered, asked: set[str]
) -> BudgetPlan:
    """What a filtered share of the generations leaves, but for what asks what a task asks."""
    count = math.ceil(share * attack.samples)
    apart = [one for one in found.kept if asked_words(one.prompt) not in asked]
    return BudgetPlan(
        share=share,
        generations=count,
        tokens=_tokens(context, attack, count),
        kept=len(found.kept),
        held_out=len(found.kept) - len(apart),
        usable=[one.ordinal for one in apart if of_extractions([one], section.recipe)],
        dropped={reason: number for reason, number in found.counts().items() if reason != "kept"},
    )


def _first(context: Context, data: PreparedDataset, attack: Attack, count: int) -> Iterator[Extraction]:
    """What the first so many generations give."""
    read = generations.read(context.run.generations_file(attack.label), tokens=False)
    every = (one for batch in read for one in extractions(batch, data.trace))
    return takewhile(lambda one: one.ordinal < count, every)


def _tokens(context: Context, attack: Attack, count: int) -> int:
    """Tokens that the first so many generations are."""
    read = generations.read(context.run.generations_file(attack.label))
    return sum(len(one.token_ids) for batch in read for one in batch if one.ordinal < count)


def _digest(tasks: Iterable[HeldOut]) -> str:
    return hashlib.sha256("\n".join(f"{task.prompt}\0{task.answer}" for task in tasks).encode()).hexdigest()
