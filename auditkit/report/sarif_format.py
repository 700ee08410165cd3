"""results.sarif: SARIF 2.1.0 for code scanning. Keyed ids, places and figures; never a text.

What is a result here becomes an alert on GitHub, whatever its ``kind``: a rule that passed is no result. It stands in
the run's properties, and the alert of the audit before is closed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from auditkit.files import write_bytes
from auditkit.report import formatting
from auditkit.report.base import AuditReport, Finding, ReportFormat, RuleResult
from auditkit.report.copies import copy_properties
from auditkit.report.definitions import title
from auditkit.report.places import place_of
from auditkit.report.safe_text import safe_line, safe_tree
from auditkit.report.sarif_rules import LEAK_RULE, rules

FILE_NAME = "results.sarif"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST_RESULTS = 25_000  # of a run that GitHub takes

# The reader knows where its checkout is; a URI here would tell of the auditor's machine, and be wrong everywhere else.
_ROOT, _OUTSIDE = "%SRCROOT%", "DATASETS"
_BASES = {
    _ROOT: {"description": {"text": "The root of the repository that holds the policy, else the policy's folder."}},
    _OUTSIDE: {"description": {"text": "Datasets that are kept outside the repository, one folder a dataset."}},
}

# A finding weighs what the audit made of its dataset; an open question is never shown as clean.
_LEVEL = {"fail": "error", "inconclusive": "warning", "not_viable": "warning", "waived": "note", "pass": "note"}
_GRAVEST = ("fail", "inconclusive", "not_viable", "waived", "pass")


class SarifFormat(ReportFormat):
    """Code-scanning results: one for each leaked record, one for each rule that did not pass."""

    kind: Literal["sarif"] = "sarif"
    textless = (FILE_NAME,)

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write results.sarif."""
        content = json.dumps(safe_tree(_log(report)), ensure_ascii=False, indent=1, allow_nan=False, sort_keys=True)
        return [write_bytes(folder / FILE_NAME, content.encode() + b"\n")]


def _log(report: AuditReport) -> dict[str, Any]:
    metrics = sorted({rule.metric for rule in report.verdict.rules})
    numbers = _numbers(report.verdict.rules)
    results = [
        *(
            _rule_result(rule, 1 + metrics.index(rule.metric), number, report)
            for rule, number in zip(report.verdict.rules, numbers, strict=True)
            if rule.outcome != "pass"
        ),
        *(_finding_result(finding, report) for finding in report.findings),
    ]
    run = {
        "tool": {
            "driver": {"name": "auditkit", "version": report.run.auditkit_version, "rules": rules(metrics)},
        },
        # What stands before the last slash is the category on GitHub: audits of one policy replace each other.
        "automationDetails": {"id": safe_line(f"auditkit/{report.policy.name}/{report.run.id}")},
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": report.verdict.exit_code,
                "startTimeUtc": report.run.started,
                "endTimeUtc": report.run.finished,
            }
        ],
        "originalUriBaseIds": _BASES,
        "properties": {
            "outcome": report.verdict.outcome,
            "findings_total": report.findings_total,
            "rules": [_told(rule) for rule in report.verdict.rules],
            **copy_properties(report),
        },
        "columnKind": "unicodeCodePoints",
        "results": results[:MOST_RESULTS],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _told(rule: RuleResult) -> dict[str, str]:
    return {"rule": safe_line(rule.rule), "dataset": safe_line(rule.dataset), "outcome": rule.outcome}


def _target(rule: RuleResult) -> tuple[str, ...]:
    """What a rule puts a limit on."""
    return rule.metric, rule.attack, rule.dataset, rule.view, rule.arm


def _numbers(rules: Sequence[RuleResult]) -> list[int]:
    """Of the rules on one target the strictest is 1, the next 2, and so on: one that passed is counted too.

    A limit that is moved leaves the finding what it was; two limits on one target are two findings, in every run.
    """
    strictest_first = sorted(range(len(rules)), key=lambda place: rules[place].limit)
    seen: Counter[tuple[str, ...]] = Counter()
    numbers = [0] * len(rules)
    for place in strictest_first:
        seen[_target(rules[place])] += 1
        numbers[place] = seen[_target(rules[place])]
    return numbers


def _rule_result(rule: RuleResult, place: int, number: int, report: AuditReport) -> dict[str, Any]:
    """A rule on a dataset that did not pass, at its line of the policy; a waived one is a suppressed result."""
    fingerprint = _fingerprint(*_target(rule), *([str(number)] if number > 1 else []))
    text = (
        f"{rule.outcome}: {title(rule.metric)} of {rule.attack} on {rule.dataset} ({rule.view} view) is "
        f"{formatting.estimate_value(rule.estimate)}, 95 % interval {formatting.interval(rule.estimate)}, limit "
        f"{formatting.value(rule.metric, rule.limit)}. {rule.reason}"
    )
    result: dict[str, Any] = {
        "ruleId": rule.metric,
        "ruleIndex": place,
        "kind": "fail",
        "level": _LEVEL[rule.outcome],
        "message": {"text": safe_line(text, 2000)},
        "locations": [_location(report.policy.file or "policy.yaml", max(1, rule.line))],
        "partialFingerprints": _fingerprints("auditkitRule/v1", fingerprint),
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
        "locations": [_record_location(finding, report)],
        # Of the record, not of the generation: the next run finds the same leak by another sample.
        "partialFingerprints": _fingerprints(
            "auditkitRecord/v1", _fingerprint(finding.dataset, finding.view, finding.record)
        ),
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


def _record_location(finding: Finding, report: AuditReport) -> dict[str, Any]:
    place = place_of(finding, report)
    location = _location(place.file, place.line, _ROOT if place.inside else _OUTSIDE)
    record, dataset = safe_line(finding.record), safe_line(finding.dataset)
    logical = {"name": record, "kind": "record", "fullyQualifiedName": f"{dataset}/{record}"}
    return {**location, "logicalLocations": [logical]}


def _location(file: str, line: int, base: str = _ROOT) -> dict[str, Any]:
    """A line of a file, by a relative URI; without a line the whole file."""
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(safe_line(file, 1000)), "uriBaseId": base}}
    if line >= 1:
        physical["region"] = {"startLine": line}
    return {"physicalLocation": physical}


def _fingerprints(name: str, fingerprint: str) -> dict[str, str]:
    """Under our own name and under the one that GitHub tracks alerts by.

    Where that is missing, GitHub's upload digests the line itself: of a record's text, that would be an oracle.
    """
    return {name: fingerprint, "primaryLocationLineHash": f"{fingerprint}:1"}


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
