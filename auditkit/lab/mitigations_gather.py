"""Puts the audits of several seeds together: every arm's effects, seed by seed and over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from auditkit.lab.mitigations_result import ArmResult, Effect, Figure, SeedChange, over_seeds
from auditkit.records import Estimate
from auditkit.report.arms import Change
from auditkit.report.base import Arm, AuditReport

Reports = Mapping[int, AuditReport]  # seed -> its audit
Key = tuple[str, str, str, str]  # metric, dataset, comparison, attack


def arm_results(reports: Reports) -> list[ArmResult]:
    """Every arm but the baseline, in the policy's order."""
    names = dict.fromkeys(arm.name for report in reports.values() for arm in report.arms if arm.mitigation)
    return [_arm(name, reports) for name in names]


def arm_of(report: AuditReport, name: str) -> Arm | None:
    """The arm of this name, where the audit has one."""
    return next((arm for arm in report.arms if arm.name == name), None)


def changes_of(report: AuditReport, name: str) -> list[Change]:
    """What the arm changes; of leakage only the widest view of the records."""
    found = report.mitigations.changes if report.mitigations else []
    views = {dataset.name: dataset.views[0] for dataset in report.datasets}
    return [
        change
        for change in found
        if change.arm == name and (change.comparison == "utility" or change.view == views[change.dataset])
    ]


def _arm(name: str, reports: Reports) -> ArmResult:
    arms = {seed: arm for seed, report in reports.items() if (arm := arm_of(report, name))}
    one = next((arm for arm in arms.values() if not arm.failed), next(iter(arms.values())))
    gates = {seed: reports[seed].mitigations for seed in arms}
    return ArmResult(
        arm=name,
        mitigation=one.mitigation or "",
        acts_on=one.acts_on,
        attacker=one.attacker,
        summary=one.summary,
        effects=list(_effects(name, reports)),
        attacks=one.attack_kinds,
        viability={seed: arm.viability for seed, arm in arms.items()},
        viability_reasons={seed: arm.viability_reasons for seed, arm in arms.items()},
        gate={seed: part.gate[name] for seed, part in gates.items() if part and name in part.gate},
        failed={seed: arm.failed for seed, arm in arms.items() if arm.failed},
        meaningless=one.meaningless,
    )


def _effects(name: str, reports: Reports) -> Iterator[Effect]:
    by_key: dict[Key, list[SeedChange]] = {}
    for seed, report in reports.items():
        for change in changes_of(report, name):
            by_key.setdefault(_key(change), []).append(_of_seed(seed, change))
    for (metric, dataset, comparison, attack), found in by_key.items():
        yield Effect.model_validate(
            {
                "metric": metric,
                "dataset": dataset,
                "comparison": comparison,
                "attack": attack,
                "seeds": found,
                **{side: over_seeds(_side(found, side)) for side in ("baseline", "mitigated", "difference")},
                "reduction": _at_most_all(over_seeds(_side(found, "reduction"))),
            }
        )


def _at_most_all(reduction: Figure) -> Figure:
    """No mitigation takes away more than all, whatever Student's interval says."""
    value, low, high = (
        None if end is None else min(1.0, end) for end in (reduction.value, reduction.low, reduction.high)
    )
    return reduction.model_copy(update={"value": value, "low": low, "high": high})


def _key(change: Change) -> Key:
    """Each side's strongest attack may be another one in each seed: those are one effect."""
    attack = change.baseline_attack if change.comparison == "plain" else ""
    return change.metric, change.dataset, change.comparison, attack


def _of_seed(seed: int, change: Change) -> SeedChange:
    return SeedChange(
        seed=seed,
        baseline_attack=change.baseline_attack,
        arm_attack=change.arm_attack,
        baseline=change.baseline,
        mitigated=change.mitigated,
        difference=change.difference,
        reduction=change.reduction,
    )


def _side(changes: list[SeedChange], side: str) -> list[Estimate]:
    return [getattr(change, side) for change in changes]
