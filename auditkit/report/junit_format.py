"""results.junit.xml: one test case for each rule and dataset. Figures and reasons; never a text.

Jenkins and GitLab know a test by class and name: neither holds a figure, so that a test has one history.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from auditkit.files import write_bytes
from auditkit.report import formatting
from auditkit.report.base import AuditReport, ReportFormat, RuleResult
from auditkit.report.copies import copy_sentence
from auditkit.report.definitions import title
from auditkit.report.safe_text import safe_line

FILE_NAME = "results.junit.xml"

# An audit without a verdict must not look green in CI: what could not be decided is an error, not a skipped test.
_ELEMENT = {"fail": "failure", "inconclusive": "error", "not_viable": "error", "waived": "skipped"}


class JunitFormat(ReportFormat):
    """Test results for CI: a failed rule is a failure, an undecided one an error, a waived one is skipped."""

    kind: Literal["junit"] = "junit"
    textless = (FILE_NAME,)

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write results.junit.xml."""
        tree = ET.ElementTree(_suites(report))
        ET.indent(tree)
        root = tree.getroot()
        assert root is not None, "the tree was made with a root"
        content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
        return [write_bytes(folder / FILE_NAME, content + b"\n")]


def _suites(report: AuditReport) -> ET.Element:
    elements = [_ELEMENT.get(rule.outcome, "") for rule in report.verdict.rules]
    undecided = report.verdict.outcome != "pass" and not {"failure", "error"} & set(elements)
    cases = list(_cases(report))
    if undecided:
        # Something other than a rule kept the audit from passing; a green suite would hide it.
        cases.append(_verdict_case(report))
        elements.append(_ELEMENT[report.verdict.outcome])
    counts = {
        "tests": str(len(cases)),
        "failures": str(elements.count("failure")),
        "errors": str(elements.count("error")),
        "time": f"{sum(report.run.stage_seconds.values()):.3f}",
    }
    suites = ET.Element("testsuites", {"name": "auditkit"} | counts)
    name = {"name": safe_line(report.policy.name), "timestamp": safe_line(report.run.started)}
    suite = ET.SubElement(suites, "testsuite", name | counts | {"skipped": str(elements.count("skipped"))})
    suite.append(_properties(report))
    suite.extend(cases)
    return suites


def _properties(report: AuditReport) -> ET.Element:
    """What the results are of, to the digest."""
    facts = {
        "auditkit.run": report.run.id,
        "auditkit.version": report.run.auditkit_version,
        "auditkit.verdict": report.verdict.outcome,
        "auditkit.arm": report.verdict.arm,
        "auditkit.policy.sha256": report.policy.sha256,
        **{f"auditkit.model.{model.role}.sha256": model.sha256 for model in report.models},
        **({"auditkit.copy": said} if (said := copy_sentence(report)) else {}),
    }
    found = ET.Element("properties")
    for name, value in facts.items():
        ET.SubElement(found, "property", {"name": safe_line(name), "value": safe_line(value)})
    return found


def _cases(report: AuditReport) -> Iterator[ET.Element]:
    """One a rule and target; of two rules that differ by their limit alone the second has a number."""
    seen: Counter[tuple[str, str]] = Counter()
    for rule in report.verdict.rules:
        place = _class_name(rule.arm, rule.dataset)
        name = f"{rule.metric} of {rule.attack} on {rule.dataset} ({rule.view})"
        seen[place, name] += 1
        number = seen[place, name]
        yield _case(report, rule, place, name if number == 1 else f"{name} ({number})")


def _case(report: AuditReport, rule: RuleResult, place: str, name: str) -> ET.Element:
    case = ET.Element("testcase", {"classname": safe_line(place), "name": safe_line(name), "time": "0"})
    if report.policy.file:  # GitLab links it
        case.set("file", safe_line(report.policy.file, 1000))
    figures = (
        f"{title(rule.metric)} {formatting.estimate_value(rule.estimate)}, 95 % interval "
        f"{formatting.interval(rule.estimate)}, limit {formatting.value(rule.metric, rule.limit)}"
    )
    _add_outcome(case, rule.outcome, f"{figures}: {rule.reason}")
    return case


def _class_name(*parts: str) -> str:
    """auditkit.<arm>.<dataset>. A dot would begin another package in Jenkins."""
    return ".".join(["auditkit", *(part.replace(".", "_") for part in parts)])


def _verdict_case(report: AuditReport) -> ET.Element:
    place = _class_name(report.verdict.arm)
    case = ET.Element("testcase", {"classname": safe_line(place), "name": "verdict", "time": "0"})
    _add_outcome(case, report.verdict.outcome, " ".join(report.verdict.cautions) or "see the report")
    return case


def _add_outcome(case: ET.Element, outcome: str, message: str) -> None:
    """What came out; Jenkins lists the message, GitLab shows the text. A passed rule keeps its figures as output."""
    text = safe_line(message, 2000)
    if outcome not in _ELEMENT:
        ET.SubElement(case, "system-out").text = text
        return
    said = {"message": text} if outcome == "waived" else {"type": outcome, "message": text}
    ET.SubElement(case, _ELEMENT[outcome], said).text = text
