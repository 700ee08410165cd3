"""A report rendered again from a finished run: no signature covers it, and it says so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditkit.report.formatting import moment
from auditkit.report.part import Part

if TYPE_CHECKING:
    from auditkit.report.base import AuditReport

LABEL = "UNSIGNED COPY"


class RenderedAgain(Part):
    """From which run, when, and by which auditkit a copy was made."""

    run: str
    rendered: str
    auditkit_version: str


def copy_sentence(report: AuditReport) -> str:
    """What a copy says of itself; "" of a report that the run itself wrote."""
    made = report.rendered_again
    if made is None:
        return ""
    return (
        f"This is a copy, rendered again by auditkit {made.auditkit_version} on {moment(made.rendered)} from the run "
        f"{made.run}. Nobody signed the copy: it proves nothing by itself."
    )


def copy_properties(report: AuditReport) -> dict[str, dict[str, str]]:
    """The same for machines; nothing of a report that the run itself wrote."""
    made = report.rendered_again
    return {"rendered_again": made.model_dump()} if made else {}
