"""Waivers as pages and the terminal show them: all that were declared, in force or not, and why not."""

from __future__ import annotations

from auditkit.report import formatting
from auditkit.report.base import AuditReport, DeclaredWaiver, Waiver
from auditkit.report.rule_words import target_words
from auditkit.report.safe_text import safe_line

PAGE_ONE_WAIVERS = 3
PAGE_ONE_REASON = 240  # characters; the whole reason stands in the section on waivers


def waiver_lines(report: AuditReport) -> list[str]:
    """One sentence or two a waiver, and what must be known of the file."""
    notes = report.waiver_file.notes if report.waiver_file else []
    return [*notes, *map(_line, report.waivers)]


def page_one_waivers(report: AuditReport) -> list[str]:
    """For page one: each waiver that turned a rule, with who, until when and why; those too many are counted."""
    turned = {number for rule in report.verdict.rules if rule.outcome == "waived" for number in rule.waivers}
    counted = [one for one in report.waivers if one.number in turned]
    shown = [
        f"Waiver {one.number}, by {one.waiver.who} until {one.waiver.expires}, for {subject_words(one.waiver)}: "
        f"{safe_line(one.waiver.reason, PAGE_ONE_REASON)}"
        for one in counted[:PAGE_ONE_WAIVERS]
    ]
    more = len(counted) - len(shown)
    return [*shown, f"{more:,} more in the section on waivers."] if more else shown


def _line(one: DeclaredWaiver) -> str:
    waiver = one.waiver
    by = f"by {waiver.who} until {waiver.expires}: {waiver.reason}"
    said = f"{one.number}, {one.state}: {subject_words(waiver)}, {by}"
    return f"{said.rstrip('.')}. {outcome_sentence(one)}"


def subject_words(waiver: Waiver) -> str:
    """What a waiver is for, as a reader of page one knows it."""
    rule = waiver.rule
    if rule is None:
        return waiver.subject
    bound = f", up to {formatting.value(rule.metric, rule.at_most)}" if rule.at_most is not None else ""
    limit = formatting.value(rule.metric, rule.max)
    return f"{target_words(rule.metric, rule.attack, rule.dataset, rule.view)} above {limit}{bound}"


def outcome_sentence(one: DeclaredWaiver) -> str:
    """What a waiver did in this audit."""
    if one.applied:
        return (
            f"It turned {len(one.applied)} failed rule{'' if len(one.applied) == 1 else 's'}: {'; '.join(one.applied)}."
        )
    return one.note
