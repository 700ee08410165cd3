"""results.junit.xml: one test case for each rule and dataset. Figures and reasons; never a text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Literal

from auditkit.files import write_bytes
from auditkit.report import formatting
from auditkit.report.base import AuditReport, ReportFormat, RuleResult
from auditkit.report.definitions import title
from auditkit.report.safe_text import safe_line

FILE_NAME = "results.junit.xml"

# An audit without a verdict must not look green in CI: what could not be decided is an error, not a skipped test.
_ELEMENT = {"fail": "failure", "inconclusive": "error", "not_viable": "error", "waived": "skipped"}


class JunitFormat(ReportFormat):
    """Test results for CI: a failed rule is a failure, an undecided one an error, a waived one is skipped."""

    kind: Literal["junit"] = "junit"

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
    cases = [_case(rule) for rule in report.verdict.rules]
    if undecided:
        # Something other than a rule kept the audit from passing; a green suite would hide it.
        cases.append(_verdict_case(report))
        elements.append(_ELEMENT[report.verdict.outcome])
    counts = {
        "tests": str(len(cases)),
        "failures": str(elements.count("failure")),
        "errors": str(elements.count("error")),
        "skipped": str(elements.count("skipped")),
        "time": f"{sum(report.run.stage_seconds.values()):.3f}",
    }
    suites = ET.Element("testsuites", {"name": "auditkit"} | counts)
    name = {"name": safe_line(report.policy.name), "timestamp": safe_line(report.run.started)}
    suite = ET.SubElement(suites, "testsuite", name | counts)
    suite.extend(cases)
    return suites


def _case(rule: RuleResult) -> ET.Element:
    name = f"{rule.rule} [{rule.dataset}, {rule.view}]"
    place = f"auditkit.{rule.arm}.{rule.dataset}"
    case = ET.Element("testcase", {"classname": safe_line(place), "name": safe_line(name), "time": "0"})
    figures = (
        f"{title(rule.metric)} {formatting.estimate_value(rule.estimate)}, 95 % interval "
        f"{formatting.interval(rule.estimate)}, limit {formatting.value(rule.metric, rule.limit)}"
    )
    _add_outcome(case, rule.outcome, f"{figures}: {rule.reason}")
    return case


def _verdict_case(report: AuditReport) -> ET.Element:
    case = ET.Element(
        "testcase", {"classname": safe_line(f"auditkit.{report.verdict.arm}"), "name": "verdict", "time": "0"}
    )
    _add_outcome(case, report.verdict.outcome, " ".join(report.verdict.cautions) or "see the report")
    return case


def _add_outcome(case: ET.Element, outcome: str, message: str) -> None:
    """What came out; a passed rule keeps its figures as output."""
    text = safe_line(message, 2000)
    if outcome in _ELEMENT:
        ET.SubElement(case, _ELEMENT[outcome], {"type": outcome, "message": text})
    else:
        ET.SubElement(case, "system-out").text = text
