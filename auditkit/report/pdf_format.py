"""report.pdf and report.redacted.pdf, and their evidence annexes where there is more than they print. Signed later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from auditkit.files import write_bytes
from auditkit.report import paper_annex
from auditkit.report.annex_layout import load_typst
from auditkit.report.base import AuditReport, ReportFormat
from auditkit.report.paper_layout import load_weasyprint
from auditkit.report.paper_processes import Sheets, laid_out
from auditkit.report.redaction import twins

FULL, REDACTED = "report.pdf", "report.redacted.pdf"


class PdfFormat(ReportFormat):
    """Paged reports for print and for signing."""

    kind: Literal["pdf"] = "pdf"
    textless = (REDACTED, paper_annex.REDACTED)

    def missing(self) -> str | None:
        """ "pdf" where WeasyPrint or Typst is not installed."""
        return None if find_spec("weasyprint") and find_spec("typst") else "pdf"

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write the full report (not of one that is redacted already) and the redacted one, unsigned.

        Of more findings than a report prints, each gets an annex with all of them.

        Raises:
            MissingExtraError: WeasyPrint is not installed, or Typst where an annex is needed.
            AuditkitError: the Pango libraries that WeasyPrint needs are not there, or a page could not be laid out.
        """
        load_weasyprint()
        wanted = [*_reports(report), *_annexes(report)]
        return [write_bytes(folder / name, content) for name, content in laid_out(wanted)]


def _reports(report: AuditReport) -> Iterator[Sheets]:
    from auditkit.report.document import PAPER, render

    for name, redacted in twins(report, FULL, REDACTED):
        yield Sheets(name, "paper_layout", partial(render, report, PAPER, redacted))


def _annexes(report: AuditReport) -> Iterator[Sheets]:
    from auditkit.report.document import PAPER

    if not paper_annex.needs_annex(report, PAPER.findings):
        return
    load_typst()
    for name, redacted in twins(report, paper_annex.FULL, paper_annex.REDACTED):
        yield Sheets(name, "annex_layout", partial(_annex, report, PAPER.findings, redacted))


def _annex(report: AuditReport, printed: int, redacted: bool) -> str:
    return json.dumps(paper_annex.annex(report, printed, redacted), ensure_ascii=False)
