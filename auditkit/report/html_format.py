"""report.html and report.redacted.html: one file each, nothing fetched, whole without its script."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from auditkit.files import write_bytes
from auditkit.report.base import AuditReport, ReportFormat
from auditkit.report.redaction import twins

FULL, REDACTED = "report.html", "report.redacted.html"


class HtmlFormat(ReportFormat):
    """Self-contained pages for a browser, at any width, light or dark."""

    kind: Literal["html"] = "html"
    textless = (REDACTED,)

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write the full page (not of a report that is redacted already) and the redacted one."""
        from auditkit.report.document import SCREEN, render

        return [
            write_bytes(folder / name, render(report, SCREEN, redacted).encode())
            for name, redacted in twins(report, FULL, REDACTED)
        ]
