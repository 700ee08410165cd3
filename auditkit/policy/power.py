"""Whether a gate can pass at all, and what would let it (METRICS.md, Evidence: Power)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditkit.policy.schema import PROBE_OF, CalibrateFpr, Policy, Rule
from auditkit.report.base import RulePower

if TYPE_CHECKING:
    from auditkit.statistics.power import LimitTest

COIN = 0.5
NO_LIMIT = "a limit of 1 forbids nothing"
SINGLY = "at best, if records come out singly and not several with one generation"
TWICE_TOO_MUCH = "what it takes to detect is not defined: twice the limit is more than everything"


@dataclass(frozen=True)
class Sizes:
    """How much evidence one dataset offers: near-duplicates count once, among records and among controls."""

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
    if rule.metric in PROBE_OF:
        yield from _coin_objections(rule)
        return
    yield from _raw_rate_objections(policy, rule)
    for name, size in sizes.items():
        if rule.dataset in ("*", name):
            yield from _calibration_objections(policy, rule, name, size)
            yield from _evidence_objections(policy, rule, name, size)


def _coin_objections(rule: Rule) -> Iterator[tuple[str, str]]:
    """An AUC of a half is what a coin gets: no model can be shown to stay at or under it."""
    if rule.metric.endswith("_auc") and rule.max <= COIN:
        yield (
            f"{rule.metric} is {COIN:g} where nothing can be told: a limit of {rule.max:g} cannot be shown to hold",
            "give a limit above it, for example 0.6",
        )


def _raw_rate_objections(policy: Policy, rule: Rule) -> Iterator[tuple[str, str]]:
    """Never-trained text reaches the threshold at the calibrated rate, and more against a large dataset."""
    from auditkit.statistics.power import smallest_raw_rate_limit

    threshold = policy.scoring.semantic_threshold
    if rule.metric == "semantic_memorisation_rate" and isinstance(threshold, CalibrateFpr):
        least = smallest_raw_rate_limit(threshold.calibrate_fpr)
        if rule.max < least:
            yield (
                f"a raw rate of at most {rule.max:g} is too near to the calibrated false-positive rate of "
                f"{threshold.calibrate_fpr:g}: a model that leaks nothing would fail it",
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
            f"{name} has {size.calibration_controls:,} distinct controls to calibrate with, and a false-positive rate "
            f"of {threshold.calibrate_fpr:g} takes {needed:,}",
            f"give at least {2 * needed:,} distinct controls (half of them evaluate), or calibrate to a higher rate",
        )


def _evidence_objections(policy: Policy, rule: Rule, name: str, size: Sizes) -> Iterator[tuple[str, str]]:
    """With no hit at all, would the upper end of the interval be within the limit?"""
    if rule.metric.endswith("coverage"):
        yield from _too_few_records(rule, name, size)
        return
    for attack in policy.prefix_attacks:
        if rule.attack in ("*", attack.name, attack.kind):
            yield from _too_few_samples(rule, attack.label, attack.samples)


def _too_few_records(rule: Rule, name: str, size: Sizes) -> Iterator[tuple[str, str]]:
    from auditkit.statistics.power import best_adjusted_coverage_high, best_coverage_high, records_for_coverage

    adjusted = rule.metric.startswith("adjusted")
    best = (
        best_adjusted_coverage_high(size.clusters, size.evaluation_controls)
        if adjusted
        else best_coverage_high(size.clusters)
    )
    if best > rule.max:
        yield (
            f"{name} has {size.clusters:,} distinct records: even with none found, the interval of {rule.metric} "
            f"reaches {best:.3g}, above {rule.max:g}",
            f"a limit of {rule.max:g} takes {records_for_coverage(rule.max):,} distinct records",
        )


def _too_few_samples(rule: Rule, attack: str, samples: int) -> Iterator[tuple[str, str]]:
    from auditkit.statistics.power import best_adjusted_rate_high, best_rate_high, samples_for_rate

    best = best_adjusted_rate_high(samples) if rule.metric.startswith("adjusted") else best_rate_high(samples)
    if best > rule.max:
        yield (
            f"{samples:,} samples of {attack}: even with no hit, the interval of {rule.metric} reaches {best:.3g}, "
            f"above {rule.max:g}",
            f"a limit of {rule.max:g} takes {samples_for_rate(rule.max):,} samples",
        )


def powers(policy: Policy, sizes: dict[str, Sizes]) -> list[RulePower]:
    """What each rule can show on each dataset in ``sizes``, and what it would take to show more.

    Binomial for rates, Poisson for distinct records, by the interval that the rule will be judged by. What nothing is
    known of before a run is left out: the spread of random draws, controls that are hit after all, and records that
    come out several at a time, which would make it less.
    """
    found = (
        power
        for rule in policy.gate
        if rule.max > 0
        for name, size in sizes.items()
        if rule.dataset in ("*", name)
        for power in _powers(policy, rule, name, size)
    )
    return list(dict.fromkeys(found))  # rules on two views of the records need the same


def _powers(policy: Policy, rule: Rule, name: str, size: Sizes) -> Iterator[RulePower]:
    if rule.metric in PROBE_OF:
        yield _probe_power(rule, name, size)
        return
    if rule.metric.endswith("coverage"):
        yield _coverage_power(rule, name, size)
        return
    for attack in policy.prefix_attacks:
        if rule.attack in ("*", attack.name, attack.kind):
            yield _rate_power(rule, name, attack.label, attack.samples)


def _rate_power(rule: Rule, name: str, attack: str, samples: int) -> RulePower:
    from auditkit.statistics.power import rate_test, samples_for_rate

    found = _power(rule, name, attack, "generations", samples)
    if rule.max >= 1:
        return found.model_copy(update={"to_pass": 1, "note": NO_LIMIT})
    found = found.model_copy(update={"to_pass": samples_for_rate(rule.max)})
    if 2 * rule.max >= 1:
        return found.model_copy(update={"note": TWICE_TOO_MUCH})
    return _with_test(found, rate_test(rule.max, 2 * rule.max, adjusted=rule.metric.startswith("adjusted")))


def _coverage_power(rule: Rule, name: str, size: Sizes) -> RulePower:
    """What more generations would find is the model's secret: only the number of records is the user's to choose."""
    from auditkit.statistics.power import coverage_test, records_for_coverage

    found = _power(rule, name, rule.attack, "distinct records", size.clusters)
    found = found.model_copy(update={"to_pass": records_for_coverage(rule.max)})
    if 2 * rule.max > 1:
        return found.model_copy(update={"note": TWICE_TOO_MUCH})
    controls = size.evaluation_controls if rule.metric.startswith("adjusted") else None
    found = _with_test(found, coverage_test(rule.max, 2 * rule.max, controls))
    if found.to_detect_80 is None:
        note = f"{controls or 0:,} evaluation controls are too few, however many records there are"
        return found.model_copy(update={"note": note})
    return found.model_copy(update={"note": SINGLY})


def _probe_power(rule: Rule, name: str, size: Sizes) -> RulePower:
    from auditkit.statistics.power import rate_test, records_for_auc, samples_for_rate

    if rule.metric.endswith("_auc"):
        found = _power(rule, name, rule.attack, "members, and as many controls", None)
        note = "what it takes to detect is not defined: there is no twice of an AUC"
        enough = records_for_auc(rule.max) if COIN < rule.max < 1 else None
        declared = min(size.clusters, size.calibration_controls + size.evaluation_controls)
        return found.model_copy(update={"declared": declared, "to_pass": enough, "note": note})
    found = _power(rule, name, rule.attack, "planted sentences", None)
    if rule.max >= 1:
        return found.model_copy(update={"to_pass": 1, "note": NO_LIMIT})
    found = found.model_copy(update={"to_pass": samples_for_rate(rule.max)})
    if 2 * rule.max >= 1:
        return found.model_copy(update={"note": TWICE_TOO_MUCH})
    return _with_test(found, rate_test(rule.max, 2 * rule.max))


def _power(rule: Rule, dataset: str, attack: str, unit: str, declared: int | None) -> RulePower:
    return RulePower(
        metric=rule.metric,
        dataset=dataset,
        attack=attack,
        limit=rule.max,
        unit=unit,
        declared=declared,
        to_pass=None,
    )


def _with_test(found: RulePower, test: LimitTest) -> RulePower:
    return found.model_copy(
        update={
            "to_detect_80": test.size_for(0.8),
            "to_detect_95": test.size_for(0.95),
            "detects": test.power(found.declared) if found.declared else None,
        }
    )
