from __future__ import annotations

import builtins
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import AuditkitError, MissingExtraError
from auditkit.report import paper_layout, paper_processes
from auditkit.report.base import SignatureInfo
from auditkit.report.pdf_format import PdfFormat
from tests.report.builder import small_report, with_texts
from tests.report.hostile import HOSTILE
from tests.report.poppler import inflated, told
from tests.report.structure import TaggedPdf


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
    assert len(entries) == 16
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


@pytest.fixture(scope="module")
def tagged(full: Path) -> TaggedPdf:
    return TaggedPdf(full)


def test_it_declares_what_pdf_ua_asks_for(tagged: TaggedPdf) -> None:
    metadata = tagged.root.Metadata.read_bytes().decode()
    assert 'pdfuaid:part="1"' in metadata and "Leakage audit: support-bot-1.2" in metadata
    assert str(tagged.root.Lang) == "en-GB" and tagged.root.MarkInfo.Marked
    assert tagged.root.ViewerPreferences.DisplayDocTitle
    assert all(page.Tabs == "/S" for page in tagged.pdf.pages)


def test_pictures_have_a_text_and_links_a_description(tagged: TaggedPdf) -> None:
    figures = tagged.named("Figure")
    assert figures and all(len(str(figure.Alt)) > 20 for figure in figures)
    links = list(tagged.annotations())
    assert links and all("/Contents" in link and "/StructParent" in link for link in links)


def test_every_cell_of_a_table_has_a_heading(tagged: TaggedPdf) -> None:
    """A row or a column heading for each figure, by identity, so that it is read out with it."""
    ids = {str(cell.ID) for cell in tagged.named("TH") if "/ID" in cell}
    headed = [cell for cell in tagged.named("TD") if len(cell.A.get("/Headers", []))]
    assert len(ids) > 50 and len(headed) > 0.9 * len(tagged.named("TD"))
    assert all(str(header) in ids for cell in headed for header in cell.A.Headers)


def test_headings_go_down_one_level_at_a_time(tagged: TaggedPdf) -> None:
    levels = [int(name[1]) for name, _ in tagged.tags if name in ("H1", "H2", "H3", "H4")]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))


def test_every_section_has_a_bookmark(full: Path, tagged: TaggedPdf) -> None:
    contents = re.findall(r"^ *(\d+) {2,}(\S.*?) {2,}\d+$", told("pdftotext", "-layout", full, "-"), re.MULTILINE)
    first_level = [title for level, title in tagged.bookmarks() if level == 1]
    assert first_level == ["Opinion", *(f"{number} {title}" for number, title in contents)]


def test_metadata_tell_dates_and_keywords_and_no_text_of_the_data(full: Path, tagged: TaggedPdf) -> None:
    facts = dict(tagged.pdf.docinfo.items())
    assert facts["/CreationDate"] == facts["/ModDate"] == "D:20260203101340Z"
    assert "memorisation" in str(facts["/Keywords"]) and str(facts["/Creator"]).startswith("auditkit ")
    assert "fetch(" not in tagged.root.Metadata.read_bytes().decode() + str(facts)


def test_a_layout_that_breaks_names_the_file_and_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "import sys; sys.stdin.read(); sys.stderr.write('MemoryError at layout.py:7'); sys.exit(1)"
    monkeypatch.setattr(paper_processes, "_CHILD", broken)
    with pytest.raises(AuditkitError, match=r"report\.pdf could not be laid out: MemoryError at layout\.py:7"):
        PdfFormat().write(small_report(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_layout_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_processes, "_CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(AuditkitError, match="its process ended with -9"):
        PdfFormat().write(small_report(), tmp_path)


def test_nothing_outside_is_fetched() -> None:
    fetcher = paper_layout._fetcher(paper_layout.load_weasyprint())
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
