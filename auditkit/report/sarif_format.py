"""results.sarif: SARIF 2.1.0 for code scanning. Keyed ids, places and figures; never a text."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from auditkit.files import write_bytes
from auditkit.report import formatting
from auditkit.report.base import AuditReport, Finding, ReportFormat, RuleResult
from auditkit.report.definitions import definition, title
from auditkit.report.safe_text import safe_line

FILE_NAME = "results.sarif"
LEAK_RULE = "leaked-record"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

# A finding weighs what the audit made of its dataset; an open question is never shown as clean.
_LEVEL = {"fail": "error", "inconclusive": "warning", "not_viable": "warning", "waived": "note", "pass": "note"}
_GRAVEST = ("fail", "inconclusive", "not_viable", "waived", "pass")


class SarifFormat(ReportFormat):
    """Code-scanning results: one for each leaked record, one for each rule."""

    kind: Literal["sarif"] = "sarif"

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write results.sarif."""
        content = json.dumps(_log(report), ensure_ascii=False, indent=1, allow_nan=False, sort_keys=True)
        return [write_bytes(folder / FILE_NAME, content.encode() + b"\n")]


def _log(report: AuditReport) -> dict[str, Any]:
    metrics = sorted({rule.metric for rule in report.verdict.rules})
    run = {
        "tool": {"driver": _driver(report, metrics)},
        "automationDetails": {"id": safe_line(f"auditkit/{report.policy.name}/{report.run.id}")},
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": report.verdict.exit_code,
                "startTimeUtc": report.run.started,
                "endTimeUtc": report.run.finished,
            }
        ],
        "properties": {"outcome": report.verdict.outcome, "findings_total": report.findings_total},
        "columnKind": "unicodeCodePoints",
        "results": [
            *(_rule_result(rule, 1 + metrics.index(rule.metric)) for rule in report.verdict.rules),
            *(_finding_result(finding, report) for finding in report.findings),
        ],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _driver(report: AuditReport, metrics: list[str]) -> dict[str, Any]:
    leak = {
        "id": LEAK_RULE,
        "name": "LeakedRecord",
        "shortDescription": {"text": "The model reproduces a record of a declared dataset."},
        "defaultConfiguration": {"level": "error"},
    }
    return {
        "name": "auditkit",
        "version": report.run.auditkit_version,
        "rules": [leak, *(_metric_rule(metric) for metric in metrics)],
    }


def _metric_rule(metric: str) -> dict[str, Any]:
    meaning = definition(metric)
    return {
        "id": metric,
        "shortDescription": {"text": f"Limit on {meaning.title}."},
        "fullDescription": {"text": meaning.meaning},
        "defaultConfiguration": {"level": "error"},
    }


def _rule_result(rule: RuleResult, place: int) -> dict[str, Any]:
    """A rule on a dataset. Passed: kind "pass" and no level; a waived one is a suppressed result."""
    text = (
        f"{rule.outcome}: {title(rule.metric)} of {rule.attack} on {rule.dataset} ({rule.view} view) is "
        f"{formatting.estimate_value(rule.estimate)}, 95 % interval {formatting.interval(rule.estimate)}, limit "
        f"{formatting.value(rule.metric, rule.limit)}. {rule.reason}"
    )
    passed = rule.outcome == "pass"
    result: dict[str, Any] = {
        "ruleId": rule.metric,
        "ruleIndex": place,
        "kind": "pass" if passed else "fail",
        "level": "none" if passed else _LEVEL[rule.outcome],
        "message": {"text": safe_line(text, 2000)},
        "partialFingerprints": {
            "auditkitRule/v1": _fingerprint(rule.metric, rule.attack, rule.dataset, rule.view, rule.arm)
        },
    }
    if rule.outcome == "waived":
        result["suppressions"] = [{"kind": "external", "justification": safe_line(rule.reason, 500)}]
    return result


def _finding_result(finding: Finding, report: AuditReport) -> dict[str, Any]:
    text = (
        f"Record {finding.record} of {finding.dataset} ({finding.view} view) is reproduced by generation "
        f"{finding.generation}: {title(finding.measure)} {formatting.fixed(finding.score, 2)}, Levenshtein similarity "
        f"{formatting.fixed(finding.levenshtein, 2)}."
    )
    result: dict[str, Any] = {
        "ruleId": LEAK_RULE,
        "ruleIndex": 0,
        "kind": "fail",
        "level": _finding_level(finding, report),
        "message": {"text": safe_line(text, 1000)},
        "locations": [{"physicalLocation": _location(finding)}],
        # Of the record, not of the generation: the next run finds the same leak by another sample.
        "partialFingerprints": {"auditkitRecord/v1": _fingerprint(finding.dataset, finding.view, finding.record)},
        "properties": {
            "finding": safe_line(finding.id),
            "score": round(finding.score, 2),
            "levenshtein": round(finding.levenshtein, 2),
        },
    }
    if finding.waived:
        result["level"] = "note"
        result["suppressions"] = [{"kind": "external", "justification": safe_line(finding.waived, 500)}]
    return result


def _finding_level(finding: Finding, report: AuditReport) -> str:
    """By the gravest outcome among the rules on the finding's dataset; without any, by the verdict."""
    outcomes = {rule.outcome for rule in report.verdict.rules if rule.dataset == finding.dataset}
    return _LEVEL[next((outcome for outcome in _GRAVEST if outcome in outcomes), report.verdict.outcome)]


def _location(finding: Finding) -> dict[str, Any]:
    """The record's place in its file; a relative file is relative to the policy."""
    path = Path(finding.file)
    uri = quote(safe_line(path.as_posix(), 1000))
    place: dict[str, Any] = {"artifactLocation": {"uri": f"file://{uri}"} if path.is_absolute() else {"uri": uri}}
    if finding.line >= 1:
        place["region"] = {"startLine": finding.line}
    return place


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
