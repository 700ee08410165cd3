"""What each arm changes against the baseline: leakage with paired seeds, and what the mitigation costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from auditkit.auditing.lm_evaluation import LmScores, lm_eval_gains
from auditkit.auditing.utility import Read, Utility, answer_gains, perplexity_ratio
from auditkit.records import Estimate
from auditkit.report.arms import Change
from auditkit.report.base import Arm
from auditkit.statistics.differences import difference, paired_share_difference, reduction
from auditkit.statistics.paired import bootstrap_mean

LEAKAGE = (
    "adjusted_coverage",
    "coverage",
    "adjusted_semantic_rate",
    "semantic_memorisation_rate",
    "string_memorisation_rate",
)
PAIRED = "paired by control: bootstrap of the log ratio of perplexities"
PAIRED_QUESTIONS = "paired by question: adjusted Wald (Bonett & Price 2012), or a bootstrap where answers are graded"


def leakage_changes(baseline: Arm, arm: Arm) -> Iterator[Change]:
    """Of every metric, dataset and view: each of the policy's attacks on both sides, and each side's strongest.

    The baseline's strongest is of the attacks that the arm's attacker can make, so that what the mitigation does is not
    mixed up with what its attacker cannot do anyhow; the arm's is of those and of all that know the mitigation.
    """
    plain = [name for name, kind in arm.attack_kinds.items() if kind == "plain"]
    for metric, dataset, view in _measured(baseline):
        before, after = _by_attack(baseline, metric, dataset, view), _by_attack(arm, metric, dataset, view)
        before = {name: before[name] for name in plain if name in before}
        for name in before:
            if name in after:
                yield _change(arm, "plain", before[name], after[name])
        strongest, against = _strongest(before), _strongest(after)
        if strongest is not None and against is not None:
            yield _change(arm, "strongest", strongest, against)


def _measured(arm: Arm) -> list[tuple[str, str, str]]:
    scopes = dict.fromkeys((e.metric, e.dataset, e.view) for e in arm.estimates if e.metric in LEAKAGE)
    return [scope for metric in LEAKAGE for scope in scopes if scope[0] == metric]


def _by_attack(arm: Arm, metric: str, dataset: str, view: str) -> dict[str, Estimate]:
    return {
        e.attack: e
        for e in arm.estimates
        if (e.metric, e.dataset, e.view) == (metric, dataset, view) and e.value is not None
    }


def _strongest(found: Mapping[str, Estimate]) -> Estimate | None:
    """The attack that found most; ties to the first."""
    return max(found.values(), key=lambda e: e.value or 0.0, default=None)


def _change(arm: Arm, comparison: str, before: Estimate, after: Estimate) -> Change:
    return Change(
        arm=arm.name,
        metric=after.metric,
        dataset=after.dataset,
        view=after.view,
        comparison=comparison,
        baseline_attack=before.attack,
        arm_attack=after.attack,
        baseline=before,
        mitigated=after,
        difference=difference(before, after),
        reduction=reduction(before, after),
    )


def utility_changes(arm: Arm, before: Utility, after: Utility, seed: int) -> Iterator[Change]:
    """Of every figure of utility that both sides have: arm minus baseline, and the share of the baseline's.

    The same controls and questions were put to both, so what they have in common goes out of the intervals.
    """
    first = {(e.metric, e.dataset): e for e in before.estimates(seed)}
    for estimate in after.estimates(seed):
        known = first.get((estimate.metric, estimate.dataset))
        if known is not None:
            yield _paired(_cost(arm, known, estimate), before, after, seed)


def _paired(cost: Change, before: Utility, after: Utility, seed: int) -> Change:
    """The cost with the interval of paired differences, where the two sides can be paired."""
    if cost.baseline.value is None or cost.mitigated.value is None:
        return cost
    try:
        if cost.metric == "control_perplexity":
            sides = (_of(before.read, cost.dataset), _of(after.read, cost.dataset))
            return _with_perplexities(cost, perplexity_ratio(*sides, seed))
        if cost.metric == "task_accuracy":
            gains = answer_gains(_of(before.read, cost.dataset), _of(after.read, cost.dataset))
        else:
            tasks = [_of_task(side.tasks, cost.metric) for side in (before, after)]
            if not tasks[0].higher_is_better:  # told as a gain: above 0 is better
                cost = cost.model_copy(update={"difference": difference(cost.baseline, cost.mitigated)})
            gains = lm_eval_gains(*tasks)
        return _with_gain(cost, _mean_gain(gains, seed))
    except ValueError:  # too few records, or figures that are no means over questions: the two sides stay unpaired
        return cost


def _of(reads: Sequence[Read], dataset: str) -> Read:
    return next(one for one in reads if one.dataset == dataset)


def _of_task(scores: Sequence[LmScores], metric: str) -> LmScores:
    return next(one for one in scores if f"lm_eval:{one.task}" == metric)


def _mean_gain(gains: npt.NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    if np.isin(gains, (-1.0, 0.0, 1.0)).all():
        return paired_share_difference(gains)
    value, low, high = bootstrap_mean(gains, seed)
    return value, low, high


def _with_gain(cost: Change, gain: tuple[float, float, float]) -> Change:
    value, low, high = gain
    changed = replace(cost.difference, value=value, low=low, high=high, method=PAIRED_QUESTIONS, reason="")
    return cost.model_copy(update={"difference": changed})


def _with_perplexities(cost: Change, ratios: tuple[float, float, float]) -> Change:
    ratio, low, high = ratios
    level = cost.baseline.value or 0.0
    rise, least, most = (level * (end - 1) for end in ratios)
    changed = replace(cost.difference, value=rise, low=least, high=most, method=PAIRED, reason="")
    share = replace(cost.reduction, value=1 - ratio, low=1 - high, high=1 - low, method=PAIRED, reason="")
    return cost.model_copy(update={"difference": changed, "reduction": share})


def _cost(arm: Arm, before: Estimate, after: Estimate) -> Change:
    return Change(
        arm=arm.name,
        metric=after.metric,
        dataset=after.dataset,
        view=after.view,
        comparison="utility",
        baseline_attack="",
        arm_attack="",
        baseline=before,
        mitigated=after,
        difference=difference(after, before),
        reduction=reduction(before, after),
    )
