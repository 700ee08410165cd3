"""The summary of a run on the page of its GitHub Actions job."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from auditkit.report.base import AuditReport

VARIABLE = "GITHUB_STEP_SUMMARY"


def append_step_summary(report: AuditReport) -> None:
    """Append the summary to the file that GitHub Actions names; nothing where it names none.

    The audit is finished and its verdict stands: a summary that cannot be written is a warning.
    """
    if not (named := os.environ.get(VARIABLE, "")):
        return
    from auditkit.report.markdown_format import summary

    try:
        with Path(named).open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{summary(report)}\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        click.echo(f"warning: the summary could not be written to {VARIABLE}: {reason}", err=True)
