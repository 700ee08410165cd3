"""What ``check`` says of the waivers: what is in force, and what counts for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from auditkit.auditing.publish import signature_info
from auditkit.auditing.waiver_desk import listed_for_the_model, matches_gate
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy
from auditkit.report.base import DeclaredWaiver


def waivers_told(policy: Policy) -> tuple[list[str], list[str]]:
    """A sentence a waiver; then warnings: waivers that will turn no rule, and an approver who is the auditor.

    Raises:
        AuditkitError: the approver's key or the waiver file is unusable.
    """
    if policy.waivers is None:
        return [], []
    source, declared = listed_for_the_model(policy)
    facts = [f"{one.number}, {one.state}: {one.waiver.subject}, until {one.waiver.expires}" for one in declared]
    warnings = [] if source.found else [f"waivers: {policy.waivers.file} is not there: nothing is waived"]
    warnings += [sentence for one in declared for sentence in _idle(policy, one)]
    if source.key.keyid == _auditor(policy):
        warnings.append("waivers.key is the auditor's own key: the report will say that nobody else agreed")
    return facts, warnings


def _idle(policy: Policy, one: DeclaredWaiver) -> Iterator[str]:
    if one.state != "in force":
        yield f"waiver {one.number} counts for nothing: {one.state}"
    elif one.waiver.rule and not matches_gate(policy, one.waiver.rule):
        yield f"waiver {one.number} fits no rule of the gate: {one.waiver.subject}"


def _auditor(policy: Policy) -> str:
    try:
        return signature_info(policy).key_id
    except AuditkitError:
        return ""
