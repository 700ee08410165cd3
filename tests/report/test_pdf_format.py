from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.report import pdf_format
from auditkit.report.base import SignatureInfo
from auditkit.report.pdf_format import PdfFormat
from tests.report.builder import small_report, with_texts
from tests.report.hostile import HOSTILE
from tests.report.poppler import inflated, told


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The full report of an unsigned run with every hostile text in it."""
    text = " | ".join(HOSTILE[name] for name in HOSTILE if name not in ("lines", "marks"))
    report = with_texts(small_report(signature=SignatureInfo(signed=False)), text, "something else")
    paths = PdfFormat().write(report, tmp_path_factory.mktemp("pdf"))
    assert [path.name for path in paths] == ["report.pdf", "report.redacted.pdf"]
    return paths[0]


def test_the_document_has_title_author_pages_and_bookmarks(full: Path) -> None:
    info = told("pdfinfo", full)
    assert (
        "Leakage audit: support-bot-1.2" in info
        and "Example AI" in info
        and "Page size:       595.276 x 841.89" in info
    )
    assert re.search(r"JavaScript: +no", info) and re.search(r"Tagged: +yes", info)
    assert b"en-GB" in inflated(full)
    outline = told("pdftohtml", "-xml", "-i", "-stdout", full).partition("<outline>")[2]
    assert "Leaked records side by side" in outline and "Attack: template_prefix" in outline


def test_every_page_is_numbered_and_labelled(full: Path) -> None:
    pages = told("pdftotext", "-layout", full, "-").split("\f")[:-1]
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert "UNSIGNED" in page and "CONFIDENTIAL" in page
        assert number == 1 or "support-bot-1.2-20260203T101112Z-3fa94c1b" in page


def test_contents_point_at_the_pages(full: Path) -> None:
    pages = told("pdftotext", "-layout", full, "-").split("\f")[:-1]
    entries = re.findall(r"^ *(\d+) {2,}(\S.*?) {2,}(\d+)$", pages[1], re.MULTILINE)
    assert len(entries) == 14
    for _, heading, page in entries:
        assert heading in pages[int(page) - 1]


def test_hostile_text_is_text(full: Path) -> None:
    text = told("pdftotext", full, "-")
    assert "<script>fetch(" in re.sub(r"\s+", "", text) and "{{7*7}}" in text
    assert "⟨ESC⟩[31m" in text and "⟨U+202E⟩" in text
    assert not re.search(rb"/(JS|JavaScript|Launch|EmbeddedFile|URI)\b", inflated(full))


def test_fonts_are_embedded(full: Path) -> None:
    rows = told("pdffonts", full).splitlines()[2:]
    assert rows and all(" yes yes yes " in row for row in rows)


def test_nothing_outside_is_fetched() -> None:
    fetcher = pdf_format._fetcher(pdf_format._weasyprint())
    for url in (
        "https://example.com/x.png",
        "file:///etc/passwd",
        "http://127.0.0.1/",
        "auditkit-font:../../x",
        "ftp://x/y",
    ):
        with pytest.raises(ValueError, match="nothing outside"):
            fetcher.fetch(url)
    assert fetcher.fetch("data:text/plain,x").read() == b"x"


def test_without_weasyprint_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(MissingExtraError, match="WeasyPrint") as caught:
        PdfFormat().write(small_report(), tmp_path)
    assert "auditkit[pdf]" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_without_pango_the_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without_pango(name: str, *rest: Any) -> Any:
        if name == "weasyprint":
            sys.stdout.write("----- advice -----")
            raise OSError("cannot load library 'libpango-1.0-0'\nand more")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pango)
    with pytest.raises(AuditkitError, match=r"libpango-1\.0-0") as caught:
        PdfFormat().write(small_report(), tmp_path)
    assert "libpangoft2-1.0-0" in caught.value.hint and "brew install pango" in caught.value.hint
    assert capsys.readouterr().out == ""
