"""The section on mitigations as the document shows it: the recommendation, all arms side by side, each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from auditkit.records import View
from auditkit.report import formatting, wording
from auditkit.report.arm_figures import ACCURACY, PERPLEXITY, leak_metric, perplexity_rise
from auditkit.report.arms import Change, Mitigations, Recommendation
from auditkit.report.base import Arm, AuditReport
from auditkit.report.definitions import title
from auditkit.report.shown_arms import (
    NOTHING,
    Cell,
    LeakTable,
    ShownArm,
    cell,
    leak_scopes,
    leak_tables,
    range_cell,
    shown_arms,
    written,
)

MOST_SCOPES = 3  # datasets whose leakage stands beside each attack
ATTACKERS = {
    "open_weights": "has the weights and chooses every token (open weights)",
    "raw_api": "chooses the text that the model goes on from (raw API)",
    "chat_api": "can only fill in messages (chat API)",
}


@dataclass(frozen=True, slots=True)
class CostRow:
    """What one arm costs in one metric."""

    metric: str
    dataset: str
    baseline: Cell
    mitigated: Cell
    change: Cell


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One attack on an arm; ``leaks`` in the order of the block's ``scopes``."""

    name: str
    adaptive: bool
    prompts_only: bool  # its generations hold no whole records: ``leaks`` are of the prompts
    generations: int
    withheld: int
    leaks: list[Cell]


@dataclass(frozen=True, slots=True)
class ArmBlock:
    """One arm by itself."""

    shown: ShownArm
    parameters: list[tuple[str, str]]
    facts: list[tuple[str, str, str]]  # name, value, note
    costs: list[CostRow]
    attacks: list[AttackRow]
    filtered: bool  # whether anything was withheld anywhere


@dataclass(frozen=True, slots=True)
class ShownMitigations:
    """All of the section."""

    attacker: str  # what the planned release's attacker can do
    limits: str  # what an arm may cost; "" where nothing is said
    recommendation: Recommendation
    reasoning: list[tuple[str, str]]  # each rule, and what it made of the arms
    metric: str
    tables: list[LeakTable]
    scopes: list[str]
    blocks: list[ArmBlock]
    whose: str  # evidence the other sections show


def shown_mitigations(report: AuditReport) -> ShownMitigations | None:
    """None where the policy declares no mitigation."""
    found = report.mitigations
    if found is None:
        return None
    metric = leak_metric(found.changes)
    scopes = leak_scopes(report)[:MOST_SCOPES]
    advice = found.recommendation
    return ShownMitigations(
        attacker=ATTACKERS.get(found.attacker, found.attacker),
        limits=wording.listing(limit_sentences(found.most)) if found.most else "",
        recommendation=advice,
        reasoning=list(zip_longest(advice.rules, advice.steps, fillvalue="")),
        metric=metric,
        tables=leak_tables(report),
        scopes=[dataset for dataset, _ in scopes],
        blocks=[_block(shown, found, metric, scopes) for shown in shown_arms(report) if shown.number],
        whose=wording.whose_words(report).strip(" ,"),
    )


def _block(shown: ShownArm, found: Mitigations, metric: str, scopes: Sequence[tuple[str, View]]) -> ArmBlock:
    arm = shown.arm
    return ArmBlock(
        shown=shown,
        parameters=parameters(arm),
        facts=[(fact.name.replace("_", " "), _flat(fact.value), fact.note) for fact in arm.facts],
        costs=list(cost_rows(arm, found.changes)),
        attacks=[_attack(arm, name, metric, scopes) for name in _attacks(arm)],
        filtered=any(arm.withheld.values()),
    )


def _attacks(arm: Arm) -> list[str]:
    return list(dict.fromkeys([*arm.attack_kinds, *arm.generations]))


def _attack(arm: Arm, name: str, metric: str, scopes: Sequence[tuple[str, View]]) -> AttackRow:
    found = {(e.dataset, e.view): cell(e) for e in arm.estimates if (e.metric, e.attack) == (metric, name)}
    prompts_only = name in arm.prompts_only
    seen: list[tuple[str, View]] = [(dataset, "prompt" if prompts_only else view) for dataset, view in scopes]
    return AttackRow(
        name=name,
        adaptive=arm.attack_kinds.get(name) == "adaptive",
        prompts_only=prompts_only,
        generations=arm.generations.get(name, 0),
        withheld=arm.withheld.get(name, 0),
        leaks=[found.get(scope, NOTHING) for scope in seen],
    )


def cost_rows(arm: Arm, changes: Sequence[Change]) -> Iterator[CostRow]:
    """Every cost of an arm: what was compared with the baseline, then what only the mitigation has."""
    compared = [change for change in changes if (change.arm, change.comparison) == (arm.name, "utility")]
    for change in compared:
        yield CostRow(
            change.metric, change.dataset, cell(change.baseline), cell(change.mitigated), _cost_change(change)
        )
    known = {(change.metric, change.dataset) for change in compared}
    for estimate in arm.utility:
        if (estimate.metric, estimate.dataset) not in known:
            yield CostRow(estimate.metric, estimate.dataset, NOTHING, cell(estimate), NOTHING)


def _cost_change(change: Change) -> Cell:
    if change.metric == PERPLEXITY:
        rise = perplexity_rise(change)
        return range_cell(rise, formatting.change) if rise else cell(change.difference)
    return cell(change.difference, written(change.metric))


def parameters(arm: Arm) -> list[tuple[str, str]]:
    """An arm's parameters as rows, lists and sections on one line; what is not set is left out."""
    return [(name, _flat(value)) for name, value in sorted(arm.parameters.items()) if value not in (None, "", [], {})]


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_flat(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return formatting.number(value, 6) if isinstance(value, int | float) else str(value)


def limit_sentences(most: Mapping[str, float]) -> list[str]:
    """What an arm may cost and stay viable."""
    said = {
        PERPLEXITY: "control perplexity may rise by at most {}",
        ACCURACY: "task accuracy may drop by at most {}",
        "false_block_share": "at most {} of never-trained texts may be withheld",
    }
    words = {ACCURACY: lambda share: formatting.points(share).removeprefix("+")}
    return [
        said.get(metric, f"{title(metric)} may change by at most {{}}").format(
            words.get(metric, formatting.percent)(share)
        )
        for metric, share in most.items()
    ]
