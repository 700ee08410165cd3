"""Typst, wrapped: an evidence annex becomes a tagged PDF (PDF/UA-1). Runs in a process of its own.

It takes a fiftieth of a second a page, where WeasyPrint takes a quarter of one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from auditkit.errors import MissingExtraError
from auditkit.report.paper_fonts import named_missing, shown_by_number, single_out
from auditkit.resources import resource_folder

if TYPE_CHECKING:
    from typst import Compiler

VARIANT = "ua-1"
# Out of matplotlib, so that pages look the same on a machine without any fonts.
_FONTS = ("STIXGeneral.ttf", "STIXGeneralBol.ttf", "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf")
# A page with nothing but the text asked about: without a glyph for each character of it, PDF/A cannot be made.
_QUESTION = b'#set text(font: ("Noto Sans", "DejaVu Sans"))\n#sys.inputs.data'
_QUESTION_VARIANT = "a-2b"


def load_typst() -> Any:
    """The typst module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import typst
    except ImportError as error:
        raise MissingExtraError("Typst (it lays out the evidence annex)", "pdf") from error
    return typst


def lay_out(content: str) -> bytes:
    """The annex, which is JSON, as PDF bytes; the same bytes for the same annex and fonts.

    Its texts are values to the template and never markup. Typst may read an empty folder and fonts, and nothing else.

    Raises:
        MissingExtraError: Typst is not installed.
    """
    with _compiler() as compiler:
        content = _with_missing_shown(content, compiler)
        template = (resource_folder("templates") / "report" / "annex.typ").read_bytes()
        finished = _seconds(json.loads(content)["finished"])
        return _compiled(compiler, template, content, VARIANT, finished)


def _compiled(compiler: Compiler, template: bytes, content: str, variant: Any, finished: int) -> bytes:
    made = compiler.compile(
        template, sys_inputs={"data": content}, format="pdf", pdf_standards=[variant], timestamp=finished
    )
    assert isinstance(made, bytes)
    return made


@contextmanager
def _compiler() -> Iterator[Compiler]:
    """A compiler whose root and packages are an empty folder, beside one with our fonts."""
    typst = load_typst()
    with TemporaryDirectory(prefix="auditkit-") as folder:
        empty, fonts = Path(folder, "empty"), Path(folder, "fonts")
        empty.mkdir()
        fonts.mkdir()
        for name in _FONTS:
            shutil.copyfile(_font(name), fonts / name)
        yield typst.Compiler(
            root=str(empty),
            font_paths=typst.Fonts(include_embedded_fonts=False, font_paths=[str(fonts)]),
            package_path=str(empty),
            package_cache_path=str(empty),
        )


def _font(name: str) -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", name)


def _with_missing_shown(content: str, compiler: Compiler) -> str:
    """The annex with each character that no font has as ⟨U+XXXX⟩, and a sentence about it."""
    found = sorted({letter for letter in content if not letter.isascii() and not letter.isspace()})
    missing = set(single_out(found, lambda letters: _lacks_a_glyph(letters, compiler)))
    if not missing:
        return content
    told = json.loads(shown_by_number(content, missing))
    return json.dumps(told | {"fonts": named_missing(missing)}, ensure_ascii=False)


def _lacks_a_glyph(letters: str, compiler: Compiler) -> bool:
    """Whether Typst cannot show one of these; it is asked itself, so that its answer and the page cannot differ."""
    try:
        _compiled(compiler, _QUESTION, " ".join(letters), _QUESTION_VARIANT, 0)
    except load_typst().TypstError:
        return True
    return False


def _seconds(finished: str) -> int:
    """When the run finished, in seconds since 1970; 0 where it says no such time."""
    try:
        return max(0, int(datetime.fromisoformat(finished).astimezone(UTC).timestamp()))
    except (ValueError, OverflowError):
        return 0
