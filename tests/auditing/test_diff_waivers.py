"""A comparison tells of waivers: verdicts that moved by them did not move by themselves."""

from __future__ import annotations

from auditkit.auditing.diff_waivers import unlike_waivers, waived_rules
from auditkit.report.base import AuditReport, Verdict, WaiverFile
from tests.report.builder import rule, small_report


def _report(outcome: str, sha256: str = "") -> AuditReport:
    made = rule("fail", "sft", 0.5, 0.01).model_copy(update={"outcome": outcome})
    file = WaiverFile(file="waivers.dsse.json", sha256=sha256, approver="a") if sha256 else None
    return small_report(verdict=Verdict(outcome="fail", arm="baseline", rules=[made], cautions=[]), waiver_file=file)


def test_a_run_with_waivers_is_not_like_one_without() -> None:
    (found,) = unlike_waivers(_report("fail"), _report("waived", "f" * 64))
    assert (found.before, found.after) == ("–", "0 declared, 1 failed rule waived")
    assert "no figure" in found.consequence
    assert waived_rules(_report("waived")) == 1


def test_the_same_file_with_the_same_outcome_is_no_difference() -> None:
    report = _report("waived", "f" * 64)
    assert list(unlike_waivers(report, report)) == []
