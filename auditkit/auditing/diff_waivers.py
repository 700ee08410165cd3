"""What was waived in one of two audits and not alike in the other: it moves verdicts, and no figure."""

from __future__ import annotations

from collections.abc import Iterator

from auditkit.auditing.diff_policy import ABSENT
from auditkit.report.base import AuditReport
from auditkit.report.diff import NotSame

_CONSEQUENCE = "waivers change verdicts and no figure: nothing of the comparison rests on them"


def unlike_waivers(before: AuditReport, after: AuditReport) -> Iterator[NotSame]:
    """Waiver files that are not the same one, with how many waivers each holds and how many rules they turned."""
    first, second = (_file(report) for report in (before, after))
    if first != second or _turned(before) != _turned(after):
        yield NotSame(what="waivers", before=_said(before), after=_said(after), consequence=_CONSEQUENCE)


def waived_rules(report: AuditReport) -> int:
    """How many failed rules waivers turned."""
    return len(_turned(report))


def _turned(report: AuditReport) -> list[str]:
    return sorted(f"{rule.rule} on {rule.dataset}" for rule in report.verdict.rules if rule.outcome == "waived")


def _file(report: AuditReport) -> str:
    return report.waiver_file.sha256 if report.waiver_file else ""


def _said(report: AuditReport) -> str:
    count, rules = len(report.waivers), waived_rules(report)
    if not count and not rules:
        return ABSENT
    return f"{count:,} declared, {rules:,} failed rule{'' if rules == 1 else 's'} waived"
