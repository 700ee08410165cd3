"""Whether a gate can pass at all, and what would let it (METRICS.md, Evidence: Power)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from auditkit.policy.schema import CalibrateFpr, Policy, Rule

CALIBRATION_MULTIPLE = 5


@dataclass(frozen=True)
class Sizes:
    """How much evidence one dataset offers."""

    clusters: int
    calibration_controls: int
    evaluation_controls: int


def unreachable(policy: Policy, sizes: dict[str, Sizes]) -> Iterator[tuple[int, str, str]]:
    """The rules that no run of this policy could pass: (index of the rule, what is wrong, what would do).

    ``sizes`` holds the datasets that could be read; the others are not judged.
    """
    for position, rule in enumerate(policy.gate):
        for message, remedy in dict.fromkeys(_objections(policy, rule, sizes)):
            yield position, message, remedy


def _objections(policy: Policy, rule: Rule, sizes: dict[str, Sizes]) -> Iterator[tuple[str, str]]:
    if rule.max == 0:
        yield "no finite run can show a limit of 0", "give the smallest leak that you would accept, for example 0.01"
        return
    yield from _raw_rate_objections(policy, rule)
    for name, size in sizes.items():
        if rule.dataset in ("*", name):
            yield from _calibration_objections(policy, rule, name, size)
            yield from _evidence_objections(policy, rule, name, size)


def _raw_rate_objections(policy: Policy, rule: Rule) -> Iterator[tuple[str, str]]:
    """Never-trained text reaches the threshold at the calibrated rate, and more against a large dataset."""
    threshold = policy.scoring.semantic_threshold
    if rule.metric == "semantic_memorisation_rate" and isinstance(threshold, CalibrateFpr):
        least = CALIBRATION_MULTIPLE * threshold.calibrate_fpr
        if rule.max < least:
            yield (
                f"a raw rate of at most {rule.max:g} lies under {CALIBRATION_MULTIPLE} times the calibrated "
                f"false-positive rate of {threshold.calibrate_fpr:g}: a model that leaks nothing would fail it",
                f"use adjusted_semantic_rate, or a limit of at least {least:g}",
            )


def _calibration_objections(policy: Policy, rule: Rule, name: str, size: Sizes) -> Iterator[tuple[str, str]]:
    from auditkit.statistics.power import controls_for_fpr

    threshold = policy.scoring.semantic_threshold
    if not isinstance(threshold, CalibrateFpr) or rule.metric == "string_memorisation_rate":
        return
    needed = controls_for_fpr(threshold.calibrate_fpr)
    if size.calibration_controls < needed:
        yield (
            f"{name} has {size.calibration_controls:,} controls to calibrate with, and a false-positive rate of "
            f"{threshold.calibrate_fpr:g} takes {needed:,}",
            f"give at least {2 * needed:,} controls (half of them evaluate), or calibrate to a higher rate",
        )


def _evidence_objections(policy: Policy, rule: Rule, name: str, size: Sizes) -> Iterator[tuple[str, str]]:
    """With no hit at all, would the upper end of the interval be within the limit?"""
    from auditkit.statistics.intervals import clopper_pearson, poisson_interval

    if rule.metric.endswith("coverage"):
        best_count = float(poisson_interval(0)[1])
        if best_count > rule.max * size.clusters:
            yield (
                f"{name} has {size.clusters:,} distinct records: even with none found, the interval of "
                f"{rule.metric} reaches {min(1.0, best_count / max(size.clusters, 1)):.3g}, above {rule.max:g}",
                f"a limit of {rule.max:g} takes {ceil(best_count / rule.max):,} distinct records",
            )
        return
    for attack in policy.attacks:
        if rule.attack in ("*", attack.name, attack.kind):
            best = float(clopper_pearson(0, attack.samples)[1])
            if best > rule.max:
                yield (
                    f"{attack.samples:,} samples of {attack.name}: even with no hit, the interval of {rule.metric} "
                    f"reaches {best:.3g}, above {rule.max:g}",
                    f"a limit of {rule.max:g} takes about {ceil(3.69 / rule.max):,} samples",
                )
