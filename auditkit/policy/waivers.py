"""Waivers at the gate: a rule that failed becomes "waived" where an approver said so, and nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from auditkit.policy.gate import Target, overall
from auditkit.policy.schema import AttackMetric
from auditkit.report.base import DeclaredWaiver, RuleResult, Verdict

# Attack, dataset, view -> every leaked near-duplicate cluster, as the keyed ids of all its records.
Leaked = Mapping[Target, Sequence[frozenset[str]]]


def with_waivers(
    verdict: Verdict, declared: Sequence[DeclaredWaiver], leaked: Leaked
) -> tuple[Verdict, list[DeclaredWaiver]]:
    """The verdict after waivers, and each waiver with what it did.

    Only what failed can be waived, never what is inconclusive or not viable; no figure is made anew.
    """
    if not declared:
        return verdict, []
    rules = [_weighed(result, declared, leaked) if result.outcome == "fail" else result for result in verdict.rules]
    told = [_told(one, rules) for one in declared]
    return verdict.model_copy(update={"rules": rules, "outcome": overall(rules)}), told


def waiver_of_record(cluster: frozenset[str], declared: Sequence[DeclaredWaiver]) -> DeclaredWaiver | None:
    """The waiver in force for a record or for one that nearly repeats it."""
    found = (one for one in declared if one.state == "in force" and one.waiver.record in cluster)
    return next(found, None)


def in_words(one: DeclaredWaiver) -> str:
    """Who waives, until when, why."""
    return f"waived by {one.waiver.who} until {one.waiver.expires} (waiver {one.number}): {one.waiver.reason}"


def _weighed(result: RuleResult, declared: Sequence[DeclaredWaiver], leaked: Leaked) -> RuleResult:
    """A failed rule: waived as a rule, or record by record, or failed as before, and which waivers did not help."""
    force = [one for one in declared if one.state == "in force"]
    found = _in_force(result, force, leaked)
    idle = [one for one in declared if one.state != "in force" and _is_about(one, result)]
    if found.outcome == "waived" or not idle:
        return found
    states = ", ".join(f"waiver {one.number} is {_STATES.get(one.state, one.state)}" for one in idle)
    return _noted(found, f"Not waived: {states}.")


_STATES = {
    "other model": "for another model",
    "other policy": "for another policy",
    "unsigned": "not signed",
    "bad signature": "not validly signed by the approver",
}


def _in_force(result: RuleResult, force: Sequence[DeclaredWaiver], leaked: Leaked) -> RuleResult:
    """As the waivers in force leave it."""
    about = [one for one in force if _is_about(one, result)]
    value = result.estimate.value if result.estimate else None
    holding = [one for one in about if one.waiver.rule and one.waiver.rule.holds_at(value)]
    if holding:
        # The longest-lived of several decides: what it says stands in the report.
        return _waived(result, [max(holding, key=lambda one: (one.waiver.expires, -one.number))])
    exceeded = ", ".join(f"waiver {one.number} does not hold at this figure" for one in about)
    return _by_records(_noted(result, f"Not waived: {exceeded}.") if exceeded else result, force, leaked)


def _is_about(one: DeclaredWaiver, result: RuleResult) -> bool:
    rule = one.waiver.rule
    target = (result.metric, result.attack, result.dataset, result.view, result.limit)
    return rule is not None and rule.is_about(*target)


def _by_records(result: RuleResult, force: Sequence[DeclaredWaiver], leaked: Leaked) -> RuleResult:
    """Waived only if every leaked cluster is: to leave one out of the count would make a figure of the approver's."""
    for_records = [one for one in force if one.waiver.record]
    if not for_records:
        return result
    if result.metric not in get_args(AttackMetric):
        return _noted(result, "Waivers of records do not bear on a figure that is not made of leaked records.")
    clusters = leaked.get((result.dataset, result.attack, result.view), ())
    found = [waiver_of_record(cluster, for_records) for cluster in clusters]
    used = {one.number: one for one in found if one is not None}
    if found and None not in found:
        return _waived(result, list(used.values()), f"All {len(found)} leaked records are waived: ")
    covered = len(found) - found.count(None)
    return _noted(result, f"{covered} of {len(found)} leaked records are waived; all would have to be.")


def _waived(result: RuleResult, by: Sequence[DeclaredWaiver], before: str = "") -> RuleResult:
    words = "; ".join(in_words(one) for one in by[:3]) + (f"; and {len(by) - 3} more" if len(by) > 3 else "")
    reason = f"{before}{words.rstrip('.')}. The figure stays above its limit."
    numbers = sorted(one.number for one in by)
    return result.model_copy(update={"outcome": "waived", "reason": reason, "waivers": numbers})


def _noted(result: RuleResult, note: str) -> RuleResult:
    return result.model_copy(update={"reason": f"{result.reason.rstrip('.')}. {note}"})


_NOTES = {
    "expired": "It expired on {expires}, so that it counts for nothing.",
    "not yet valid": "It is valid from {issued} only, so that it counts for nothing.",
    "other model": "It is bound to another model, so that it counts for nothing.",
    "other policy": "The file is for another policy, so that it counts for nothing.",
    "unsigned": "The file is UNSIGNED, so that it counts for nothing.",
    "bad signature": "The file is not validly signed by the approver, so that it counts for nothing.",
}


def _told(one: DeclaredWaiver, rules: Sequence[RuleResult]) -> DeclaredWaiver:
    """A waiver with the rules that it turned, or with the reason why it turned none."""
    if one.state != "in force":
        dates = {"expires": one.waiver.expires, "issued": one.waiver.issued}
        return one.model_copy(update={"note": _NOTES[one.state].format(**dates)})
    applied = [rule.rule for rule in rules if one.number in rule.waivers]
    note = "" if applied else "In force, and no failed rule was turned by it."
    return one.model_copy(update={"applied": applied, "note": note})
