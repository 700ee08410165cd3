"""WeasyPrint, wrapped: a page of HTML becomes a tagged PDF (PDF/UA-1). Runs as a process of its own as well."""

from __future__ import annotations

import gc
import io
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.report.paper_fonts import with_missing_shown

VARIANT = "pdf/ua-1"

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


def load_weasyprint() -> Any:
    """The WeasyPrint module.

    Raises:
        MissingExtraError: it is not installed.
        AuditkitError: the Pango libraries that it needs are not there; the hint says what to install.
    """
    # Another library may have set the root logger to tell everything: hundreds of lines a page, the first on import.
    for name in ("weasyprint", "fontTools"):
        logging.getLogger(name).setLevel(logging.ERROR)
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
    return weasyprint


def lay_out(page: str) -> bytes:
    """The page as PDF bytes. Nothing is fetched: it has only what stands in it, our fonts and those of the system.

    Raises:
        MissingExtraError, AuditkitError: as `load_weasyprint`.
    """
    weasyprint = load_weasyprint()
    from weasyprint.text.fonts import FontConfiguration

    fonts = FontConfiguration()
    fetcher = _fetcher(weasyprint)
    faces = weasyprint.CSS(string=_font_faces(), font_config=fonts, url_fetcher=fetcher)
    with _uncollected(), _pages_listed_once():
        document = weasyprint.HTML(string=with_missing_shown(page, fonts), url_fetcher=fetcher, base_url=None)
        content: bytes = document.write_pdf(stylesheets=[faces], font_config=fonts, pdf_variant=VARIANT)
    return content


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


@contextmanager
def _pages_listed_once() -> Iterator[None]:
    """pydyf makes the list of all pages anew for every tag, which takes the square of their number."""
    import pydyf

    slow = pydyf.PDF.page_references
    pydyf.PDF.page_references = property(lambda pdf: _references(tuple(pdf.pages["Kids"][::3])))
    try:
        yield
    finally:
        pydyf.PDF.page_references = slow


@cache
def _references(numbers: tuple[int, ...]) -> tuple[bytes, ...]:
    return tuple(b"%d 0 R" % number for number in numbers)


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


def main() -> None:
    """A page on stdin, its PDF on stdout. What goes wrong is told on stderr in a line without a word of the page."""
    try:
        content = lay_out(sys.stdin.buffer.read().decode())
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        sys.stderr.write(f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}")
        sys.exit(1)
    sys.stdout.buffer.write(content)
