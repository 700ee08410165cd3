"""report.pdf and report.redacted.pdf, laid out by WeasyPrint from the same document. Signing comes afterwards."""

from __future__ import annotations

import gc
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.files import write_bytes
from auditkit.report.base import AuditReport, ReportFormat

FULL, REDACTED = "report.pdf", "report.redacted.pdf"

# Matplotlib carries these files, so that pages look the same on a machine without any fonts.
_FONTS = {
    ("Audit Serif", "normal", "normal"): "STIXGeneral.ttf",
    ("Audit Serif", "600", "normal"): "STIXGeneralBol.ttf",
    ("Audit Serif", "normal", "italic"): "STIXGeneralItalic.ttf",
    ("Audit Sans", "normal", "normal"): "DejaVuSans.ttf",
    ("Audit Sans", "600", "normal"): "DejaVuSans-Bold.ttf",
    ("Audit Mono", "normal", "normal"): "DejaVuSansMono.ttf",
    ("DejaVu Sans", "normal", "normal"): "DejaVuSans.ttf",
    ("DejaVu Sans", "bold", "normal"): "DejaVuSans-Bold.ttf",
}
_FONT_SCHEME = "auditkit-font"


class PdfFormat(ReportFormat):
    """Paged reports for print and for signing."""

    kind: Literal["pdf"] = "pdf"

    def missing(self) -> str | None:
        """ "pdf" where WeasyPrint is not installed."""
        return None if find_spec("weasyprint") else "pdf"

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write the full report (not of one that is redacted already) and the redacted one, unsigned.

        Raises:
            MissingExtraError: WeasyPrint is not installed.
            AuditkitError: the Pango libraries that WeasyPrint needs are not there.
        """
        from auditkit.report.document import PAPER, render

        weasyprint = _weasyprint()
        pictures: dict[str, Any] = {}  # both reports have the same charts
        with _uncollected():
            return [
                write_bytes(folder / name, _pdf(weasyprint, render(report, PAPER, redacted), pictures))
                for name, redacted in ((FULL, False), (REDACTED, True))
                if redacted or not report.redacted
            ]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the cyclic garbage collector: laying out keeps millions of boxes alive, all of them needed."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _weasyprint() -> Any:
    """The WeasyPrint module, or an error that says what to install."""
    try:
        # Where Pango is missing, it prints advice on stdout, which belongs to results.
        with redirect_stdout(io.StringIO()):
            import weasyprint
            import weasyprint.urls
    except ImportError as error:
        raise MissingExtraError("WeasyPrint", "pdf") from error
    except OSError as error:
        raise AuditkitError(
            f"WeasyPrint cannot load its text libraries ({str(error).splitlines()[0]})",
            "Debian: apt install libpango-1.0-0 libpangoft2-1.0-0; macOS: brew install pango; "
            "or leave pdf out of report.formats",
        ) from error
    # Another library may have set the root logger to tell everything: hundreds of lines a page.
    for name in ("weasyprint", "fontTools"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return weasyprint


def _pdf(weasyprint: Any, page: str, pictures: dict[str, Any]) -> bytes:
    """The page as PDF bytes; a style sheet of our own adds the fonts."""
    from weasyprint.text.fonts import FontConfiguration

    fonts = FontConfiguration()
    fetcher = _fetcher(weasyprint)
    faces = weasyprint.CSS(string=_font_faces(), font_config=fonts, url_fetcher=fetcher)
    document = weasyprint.HTML(string=page, url_fetcher=fetcher, base_url=None)
    content: bytes = document.write_pdf(stylesheets=[faces], font_config=fonts, pdf_tags=True, cache=pictures)
    return content


def _font_faces() -> str:
    face = '@font-face {{ font-family: "{}"; font-weight: {}; font-style: {}; src: url("{}:{}") }}'
    return "\n".join(face.format(*names, _FONT_SCHEME, file) for names, file in _FONTS.items())


@cache
def _font(file: str) -> bytes:
    """A font file out of matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", file).read_bytes()


def _fetcher(weasyprint: Any) -> Any:
    """A fetcher that knows our fonts and inline data, and refuses every other address: no network, no files."""

    class NothingOutside(weasyprint.urls.URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:
            scheme, _, name = url.partition(":")
            if scheme == _FONT_SCHEME and name in _FONTS.values():
                return weasyprint.urls.URLFetcherResponse(url, _font(name), {"Content-Type": "font/ttf"})
            if scheme == "data":
                return super().fetch(url, headers)
            raise ValueError("a report refers to nothing outside itself")

    return NothingOutside()
