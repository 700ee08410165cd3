"""Whether an arm is still of use: its costs against the policy's floors. What broke a model is no mitigation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from auditkit.policy.schema import UtilitySection
from auditkit.records import Estimate
from auditkit.report.arms import Change
from auditkit.report.base import Viability


@dataclass(frozen=True)
class Cost:
    """One cost with its interval, and the most that the policy accepts."""

    what: str
    value: float | None
    low: float | None
    high: float | None
    most: float
    reason: str = ""


def most_accepted(section: UtilitySection, measured: Collection[str]) -> dict[str, float]:
    """Of each cost that was measured: the most that the policy accepts."""
    limits = {
        "control_perplexity": section.max_perplexity_rise,
        "task_accuracy": section.max_accuracy_drop,
        "false_block_share": section.max_false_blocks,
    }
    if section.lm_eval:
        limits |= {f"lm_eval:{task}": section.lm_eval.max_drop for task in section.lm_eval.tasks}
    return {metric: limit for metric, limit in limits.items() if metric in measured}


def viability(
    section: UtilitySection, changes: Sequence[Change], own: Sequence[Estimate]
) -> tuple[Viability, list[str]]:
    """The verdict on an arm's usefulness, and the sentences behind it.

    Not viable where a cost's whole interval lies above its floor; unknown where the interval holds the floor, or where
    nothing was measured.
    """
    costs = list(_costs(section, changes, own))
    if not any(cost.value is not None for cost in costs):
        return "unknown", ["No utility was measured: without controls with answers nobody knows what is left of it."]
    judged = [(_judged(cost), cost) for cost in costs]
    for outcome in ("not_viable", "unknown"):
        sentences = [_sentence(cost, outcome) for found, cost in judged if found == outcome]
        if sentences:
            return outcome, sentences
    return "viable", []


def _costs(section: UtilitySection, changes: Sequence[Change], own: Sequence[Estimate]) -> Iterator[Cost]:
    for change in changes:
        if change.comparison != "utility":
            continue
        where = f" on {change.dataset}" if change.dataset else ""
        gain, rise = change.difference, change.reduction
        if change.metric == "control_perplexity":
            yield Cost(
                f"perplexity{where} rose by a share of", *_negated(rise), section.max_perplexity_rise, rise.reason
            )
        elif change.metric == "task_accuracy":
            yield Cost(f"task accuracy{where} fell by", *_negated(gain), section.max_accuracy_drop, gain.reason)
        elif change.metric.startswith("lm_eval:") and section.lm_eval:
            yield Cost(f"{change.metric} fell by", *_negated(gain), section.lm_eval.max_drop, gain.reason)
    for estimate in own:
        if estimate.metric == "false_block_share":
            what = f"the share of never-trained texts withheld on {estimate.dataset} is"
            yield Cost(what, estimate.value, estimate.low, estimate.high, section.max_false_blocks, estimate.reason)


def _negated(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    """What went up by so much went down by minus as much."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None, None, None
    return -estimate.value, -estimate.high, -estimate.low


def _judged(cost: Cost) -> Viability:
    if cost.value is None or cost.low is None or cost.high is None:
        return "unknown"
    if cost.low > cost.most:
        return "not_viable"
    return "viable" if cost.high <= cost.most else "unknown"


def _sentence(cost: Cost, outcome: Viability) -> str:
    if cost.value is None:
        return f"Whether {cost.what} too much is not known: {cost.reason}."
    ends = f"{cost.value:.3g} (95 % interval {cost.low:.3g} to {cost.high:.3g})"
    than = f"the policy accepts {cost.most:g}"
    if outcome == "not_viable":
        return f"Not viable: {cost.what} {ends}; {than}."
    return f"Not decided: {cost.what} {ends}; {than}. Measuring it on more controls with answers would narrow it."
