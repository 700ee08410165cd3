"""report.pdf and report.redacted.pdf, laid out from the same document, each in a process of its own. Signed later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from auditkit.errors import AuditkitError
from auditkit.files import write_bytes
from auditkit.report.base import AuditReport, ReportFormat
from auditkit.report.paper_layout import load_weasyprint
from auditkit.report.redaction import twins

FULL, REDACTED = "report.pdf", "report.redacted.pdf"

_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from auditkit.report.paper_layout import main; main()"


class PdfFormat(ReportFormat):
    """Paged reports for print and for signing."""

    kind: Literal["pdf"] = "pdf"
    textless = (REDACTED,)

    def missing(self) -> str | None:
        """ "pdf" where WeasyPrint is not installed."""
        return None if find_spec("weasyprint") else "pdf"

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write the full report (not of one that is redacted already) and the redacted one, unsigned.

        Raises:
            MissingExtraError: WeasyPrint is not installed.
            AuditkitError: the Pango libraries that WeasyPrint needs are not there, or a page could not be laid out.
        """
        from auditkit.report.document import PAPER, render

        load_weasyprint()
        wanted = twins(report, FULL, REDACTED)
        with ExitStack() as layouts:
            children = [layouts.enter_context(_layout()) for _ in wanted]
            # The first is laid out while the second is still being rendered.
            for child, (_, redacted) in zip(children, wanted, strict=True):
                _give(child, render(report, PAPER, redacted))
            return [
                write_bytes(folder / name, _take(child, name))
                for child, (name, _) in zip(children, wanted, strict=True)
            ]


@contextmanager
def _layout() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for a page. The page and its PDF go through pipes: no copy of a text is left on disk."""
    command = [sys.executable, "-c", _CHILD, *sys.path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as child:  # noqa: S603 - our own module
        try:
            yield child
        finally:
            child.kill()  # nothing, where it is done


def _give(child: subprocess.Popen[bytes], page: str) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(page.encode())
        child.stdin.close()
    except BrokenPipeError:  # it ended early; why is told when its answer is read
        pass
    child.stdin = None  # closed for good: communicate would flush it


def _take(child: subprocess.Popen[bytes], name: str) -> bytes:
    content, said = child.communicate()
    if child.returncode != 0 or not content:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        reason = last[0] if last else f"its process ended with {child.returncode}"
        raise AuditkitError(f"{name} could not be laid out: {reason}", "free some memory, or leave pdf out")
    return content
