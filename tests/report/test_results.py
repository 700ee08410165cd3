"""SARIF and JUnit: what code scanning and CI see."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from auditkit.report.base import AuditReport, Outcome, RuleOutcome, Verdict
from auditkit.report.junit_format import JunitFormat
from auditkit.report.sarif_format import SarifFormat
from tests.report.builder import build_report, rule, small_report
from tests.report.hostile import HOSTILE


def sarif(report: AuditReport, folder: Path) -> dict[str, Any]:
    (path,) = SarifFormat().write(report, folder)
    log: dict[str, Any] = json.loads(path.read_bytes())
    assert log["version"] == "2.1.0"
    run: dict[str, Any] = log["runs"][0]
    return run


def junit(report: AuditReport, folder: Path) -> ET.Element:
    (path,) = JunitFormat().write(report, folder)
    return ET.fromstring(path.read_bytes())


def judged(outcome: Outcome, *rules: RuleOutcome) -> AuditReport:
    made = [rule(each, "sft-support", 0.02, 0.005) for each in rules]
    return small_report(verdict=Verdict(outcome=outcome, arm="baseline", rules=made, cautions=["too few controls"]))


def test_every_finding_is_a_result_with_its_place(tmp_path: Path) -> None:
    report = build_report()
    results = [result for result in sarif(report, tmp_path)["results"] if result["ruleId"] == "leaked-record"]
    assert len(results) == len(report.findings)
    for result, finding in zip(results, report.findings, strict=True):
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"] == {"uri": finding.file, "uriBaseId": "%SRCROOT%"}
        assert place["region"] == {"startLine": finding.line}
        assert finding.record in result["message"]["text"]


def test_a_record_keeps_its_fingerprint_when_another_sample_finds_it(tmp_path: Path) -> None:
    report = small_report()
    moved = [f.model_copy(update={"generation": "0" * 20, "score": 0.9, "line": 1, "id": "x"}) for f in report.findings]
    before, after = (
        [r["partialFingerprints"] for r in sarif(each, tmp_path)["results"]]
        for each in (report, report.model_copy(update={"findings": moved}))
    )
    assert before == after and len({str(fingerprint) for fingerprint in before}) == len(before)


@pytest.mark.parametrize(
    ("outcome", "kind", "level"),
    [
        ("fail", "fail", "error"),
        ("inconclusive", "fail", "warning"),
        ("not_viable", "fail", "warning"),
        ("waived", "fail", "note"),
    ],
)
def test_levels_follow_outcomes(tmp_path: Path, outcome: RuleOutcome, kind: str, level: str) -> None:
    verdict: Outcome = "pass" if outcome in ("pass", "waived") else "fail" if outcome == "fail" else "inconclusive"
    run = sarif(judged(verdict, outcome), tmp_path)
    assert (run["results"][0]["kind"], run["results"][0]["level"]) == (kind, level)
    assert ("suppressions" in run["results"][0]) == (outcome == "waived")
    leak = next(r for r in run["results"] if r["ruleId"] == "leaked-record" and "sft-support" in r["message"]["text"])
    assert leak["level"] == level
    assert all(run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])


def test_a_rule_that_passed_is_no_alert_and_is_told(tmp_path: Path) -> None:
    run = sarif(judged("fail", "pass", "fail"), tmp_path)
    assert [r["message"]["text"].split(":")[0] for r in run["results"] if r["ruleId"] != "leaked-record"] == ["fail"]
    assert [rule["outcome"] for rule in run["properties"]["rules"]] == ["pass", "fail"]


@pytest.mark.parametrize(
    ("outcome", "element", "count"),
    [
        ("fail", "failure", "failures"),
        ("inconclusive", "error", "errors"),
        ("not_viable", "error", "errors"),
        ("waived", "skipped", "skipped"),
    ],
)
def test_junit_shows_what_is_not_a_pass(tmp_path: Path, outcome: RuleOutcome, element: str, count: str) -> None:
    verdict: Outcome = "fail" if outcome == "fail" else "pass" if outcome == "waived" else "inconclusive"
    suites = junit(judged(verdict, outcome, "pass"), tmp_path)
    assert [child.tag for child in suites.findall(".//testcase/*")] == [element, "system-out"]
    (suite,) = suites.findall("testsuite")
    assert suite.get(count) == "1" and suite.get("tests") == "2"
    assert "limit" in (suites.find(f".//{element}").get("message") or "")  # type: ignore[union-attr]


def test_one_test_case_for_each_rule_and_dataset(tmp_path: Path) -> None:
    report = build_report()
    cases = junit(report, tmp_path).findall(".//testcase")
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(report.verdict.rules) == len(cases)


def test_an_audit_without_a_verdict_is_never_green(tmp_path: Path) -> None:
    suites = junit(judged("inconclusive", "pass"), tmp_path)
    assert suites.get("errors") == "1"
    assert suites.find(".//error").get("message") == "too few controls"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_reasons_stay_data(tmp_path: Path, name: str) -> None:
    text = HOSTILE[name]
    hostile = rule("fail", text, 0.5, 0.01, reason=text, rule=text, attack=text, arm=text)
    verdict = Verdict(outcome="fail", arm="baseline", rules=[hostile], cautions=[text])
    report = small_report(verdict=verdict)
    suites = junit(report, tmp_path)
    known = {"testsuites", "testsuite", "properties", "property", "testcase", "failure"}
    assert {element.tag for element in suites.iter()} == known
    assert sarif(report, tmp_path)["results"][0]["level"] == "error"
    for path in tmp_path.iterdir():
        assert not set(path.read_text(encoding="utf-8")) & set("\x00\x1b\x07\x9b\u202e\u200b")
