"""What a bill of materials says of the audit itself: the verdict, what it is bound to, and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditkit.report.base import AuditReport, RuleResult
from auditkit.report.copies import copy_sentence
from auditkit.report.safe_text import safe_line


def properties(facts: Mapping[str, str]) -> list[dict[str, str]]:
    """CycloneDX properties under ``auditkit:``, those without a value left out."""
    return [
        {"name": safe_line(f"auditkit:{name}"), "value": safe_line(value, 1000)}
        for name, value in facts.items()
        if value
    ]


def audit_properties(report: AuditReport) -> list[dict[str, str]]:
    """The audit: what came out, of which policy, and where its attestation is."""
    waived = sum(rule.outcome == "waived" for rule in report.verdict.rules)
    return properties(
        {
            "audit:verdict": report.verdict.outcome,
            "audit:waived-rules": str(waived) if waived else "",
            "audit:arm": report.verdict.arm,
            "audit:run": report.run.id,
            "audit:policy": report.policy.name,
            "audit:policy-sha256": report.policy.sha256,
            "audit:leaked-records": str(report.findings_total),
            "audit:copy": copy_sentence(report),
            "audit:attestation": "attestation.dsse.json, in the run folder: an in-toto statement over every file",
        }
    )


def metrics(report: AuditReport) -> list[dict[str, Any]]:
    """The figures that the gate put a limit on, with their intervals, as a model card's performance metrics."""
    return [_metric(rule) for rule in report.verdict.rules if rule.estimate and rule.estimate.value is not None]


def _metric(rule: RuleResult) -> dict[str, Any]:
    estimate = rule.estimate
    assert estimate is not None and estimate.value is not None
    found: dict[str, Any] = {
        "type": safe_line(f"{rule.metric} of {rule.attack} ({rule.view} view, arm {rule.arm}): {rule.outcome}"),
        "slice": safe_line(rule.dataset),
        "value": repr(estimate.value),
    }
    if estimate.low is not None and estimate.high is not None:
        found["confidenceInterval"] = {"lowerBound": repr(estimate.low), "upperBound": repr(estimate.high)}
    return found
