"""What the arms say of each other: a weak attack proves nothing, and what came out of the weights is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from auditkit.auditing.context import Context
from auditkit.auditing.measured import Measured
from auditkit.mitigations.base import Mitigation
from auditkit.policy.gate import Doubts, verdict_on
from auditkit.records import View
from auditkit.report.base import Arm
from auditkit.report.wording import listing


def weaker_attacks(arm: Arm, mitigation: Mitigation) -> list[str]:
    """What the policy took from the attacks that know the mitigation, as sentences: samples, or what they do."""
    said = [mitigation.untried] if mitigation.untried else []
    fewer = [name for name in arm.generations if _fewer(arm, name)]
    if fewer:
        least, most = min(arm.generations[name] for name in fewer), _most(arm)
        what = f"{listing(fewer)} {'was' if len(fewer) == 1 else 'were'} tried with {least:,} generations"
        said.append(f"{what}, and the policy's own attack with {most:,}.")
    return said


def _most(arm: Arm) -> int:
    """Generations of the largest attack that knows nothing."""
    return max((count for name, count in arm.generations.items() if arm.attack_kinds[name] == "plain"), default=0)


def _fewer(arm: Arm, attack: str) -> bool:
    return arm.attack_kinds[attack] == "adaptive" and arm.generations[attack] < _most(arm)


def with_weak_attacks(found: Doubts, inside: Context, arm: Arm, mitigation: Mitigation) -> Doubts:
    """What the policy took from the attacks that know the mitigation forbids a pass."""
    by_attack = {key: list(doubts) for key, doubts in found.by_attack.items()}
    for name in arm.generations:
        said = [mitigation.untried] if mitigation.untried else []
        if _fewer(arm, name):
            count, most = arm.generations[name], _most(arm)
            said.append(f"{name} was tried with {count:,} generations, fewer than the policy's {most:,}.")
        for data in inside.datasets if said else ():
            for view in data.views:
                by_attack.setdefault((name, data.name, view), []).extend(said)
    return replace(found, by_attack=by_attack)


def with_leaking_arms(baseline: Measured, arms: Sequence[Measured], views: dict[str, tuple[View, ...]]) -> Measured:
    """The baseline, doubted where an arm of the same weights gave more than a rule allows.

    Whoever knows a filter thought of another way to ask; the weights answered, and they are the baseline's.
    """
    by_data = {key: list(doubts) for key, doubts in baseline.doubts.by_data.items()}
    for name, dataset, attack, view in _failures(baseline, arms, views):
        doubt = f"The same weights gave {dataset} away to {attack}, an attack that was tried on the arm {name}."
        by_data.setdefault((dataset, view), []).append(doubt)
    return replace(baseline, doubts=replace(baseline.doubts, by_data=by_data))


def _failures(
    baseline: Measured, arms: Sequence[Measured], views: dict[str, tuple[View, ...]]
) -> Iterator[tuple[str, str, str, View]]:
    """Arm, dataset, attack, view of every rule that an arm of the baseline's weights fails under an adaptive attack."""
    for one in arms:
        if one.arm.failed or one.arm.weights_sha256:
            continue
        bare = one.arm.model_copy(update={"meaningless": ""})
        verdict = verdict_on(baseline.context.policy, replace(one.judged, arm=bare), baseline.judged, views)
        for rule in verdict.rules:
            if rule.outcome == "fail" and one.arm.attack_kinds.get(rule.attack) == "adaptive":
                yield one.arm.name, rule.dataset, rule.attack, rule.view
