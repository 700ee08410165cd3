"""Waivers as pages and the terminal show them: all that were declared, in force or not, and why not."""

from __future__ import annotations

from auditkit.report.base import AuditReport, DeclaredWaiver


def waiver_lines(report: AuditReport) -> list[str]:
    """One sentence or two a waiver, and what must be known of the file."""
    notes = report.waiver_file.notes if report.waiver_file else []
    return [*notes, *map(_line, report.waivers)]


def _line(one: DeclaredWaiver) -> str:
    waiver = one.waiver
    said = f"{one.number}, {one.state}: {waiver.subject}, by {waiver.who} until {waiver.expires}: {waiver.reason}"
    return f"{said.rstrip('.')}. {outcome_sentence(one)}"


def outcome_sentence(one: DeclaredWaiver) -> str:
    """What a waiver did in this audit."""
    if one.applied:
        return (
            f"It turned {len(one.applied)} failed rule{'' if len(one.applied) == 1 else 's'}: {'; '.join(one.applied)}."
        )
    return one.note
