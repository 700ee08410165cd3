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


def weaker_attacks(arm: Arm, mitigation: Mitigation) -> list[str]:
    """What the policy took from the attacks that know the mitigation, as sentences: samples, or what they do."""
    said = dict.fromkeys(sentence for _, sentence in _weaknesses(arm, mitigation))
    return list(said)


def with_weak_attacks(found: Doubts, inside: Context, arm: Arm, mitigation: Mitigation) -> Doubts:
    """What the policy took from the attacks that know the mitigation forbids a pass."""
    by_attack = {key: list(doubts) for key, doubts in found.by_attack.items()}
    for attack, sentence in _weaknesses(arm, mitigation):
        for data in inside.datasets:
            for view in data.views:
                by_attack.setdefault((attack, data.name, view), []).append(sentence)
    return replace(found, by_attack=by_attack)


def _weaknesses(arm: Arm, mitigation: Mitigation) -> Iterator[tuple[str, str]]:
    """(attack, sentence): what was never tried bears on every attack, too few generations on their own."""
    if mitigation.untried:
        yield from ((attack, mitigation.untried) for attack in arm.generations)
    plain = (count for name, count in arm.generations.items() if arm.attack_kinds[name] == "plain")
    most = max(plain, default=0)
    for name, count in arm.generations.items():
        if arm.attack_kinds[name] == "adaptive" and count < most:
            yield name, f"{name} was tried with {count:,} generations, and the policy's own attack with {most:,}."


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
