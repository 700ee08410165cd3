"""The evidence annex: every finding on paper, tagged, labelled, harmless, and in its twin no word of the data."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from auditkit.errors import MissingExtraError
from auditkit.report import annex_layout, paper_annex, pdf_format
from auditkit.report.base import AuditReport, SignatureInfo
from auditkit.report.document import PAPER
from auditkit.report.paper_annex import annex, annex_sentence
from auditkit.report.paper_processes import Sheets, laid_out
from auditkit.report.pdf_format import PdfFormat
from auditkit.report.redaction import redact
from tests.report.builder import WORDS, build_report
from tests.report.hostile import HOSTILE, LONG_LINE, SURROGATE
from tests.report.poppler import inflated, told
from tests.report.structure import TaggedPdf
from tests.report.test_scripts_on_paper import PAIRS

PRINTED = 5
TYPST = {
    "evaluated": '#eval("1 + 1")',
    "read": '#read("/etc/passwd")',
    "package": '#import "@preview/cetz:0.3.0"',
    "formula": "$ x^2/0 $",
    "escapes": "\\ \\u{41} ~ --- 'quoted'",
    "markup": "*bold* _slanted_ @reference <label> `code` // comment /* more */",
    "blocks": "= Heading\n- list\n+ numbers\n/ term: x",
}
TEXTS = {**HOSTILE, **TYPST, "surrogate": SURROGATE, "long": LONG_LINE, "broken": "W" * 900, "dense": "字" * 1000}


def paper(report: AuditReport, folder: Path, redacted: bool = False) -> Path:
    """The annex of a report, laid out in this process."""
    path = folder / (paper_annex.REDACTED if redacted else paper_annex.FULL)
    path.write_bytes(annex_layout.lay_out(json.dumps(annex(report, PRINTED, redacted), ensure_ascii=False)))
    return path


def with_pairs(pairs: list[tuple[str, str]]) -> AuditReport:
    """A report with a finding for each pair; every third has the record's text for its dataset and file as well."""
    report = build_report(findings_count=len(pairs), examples=1)
    found = []
    for place, (finding, (record, generation)) in enumerate(zip(report.findings, pairs, strict=True)):
        names = {} if place % 3 else {"dataset": record[:500], "file": record}
        found.append(finding.model_copy(update={"record_text": record, "generation_text": generation, **names}))
    return report.model_copy(update={"findings": found})


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return build_report(findings_count=60, examples=1, signature=SignatureInfo(signed=False))


@pytest.fixture(scope="module")
def full(report: AuditReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paper(report, tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def redacted(report: AuditReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paper(report, tmp_path_factory.mktemp("redacted"), redacted=True)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every hostile text, and pairs in other scripts after them."""
    pairs = [(text, f"{text} other") for text in TEXTS.values()]
    return paper(with_pairs([*pairs, *PAIRS]), tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def pages(full: Path) -> list[str]:
    return told("pdftotext", "-layout", full, "-").split("\f")[:-1]


def test_every_finding_is_there_once_with_its_number_and_ids(report: AuditReport, pages: list[str]) -> None:
    text = "\n".join(pages)
    for number, finding in enumerate(report.findings, 1):
        assert len(re.findall(rf"^{number} +{finding.dataset}, {finding.view} view: ", text, re.MULTILINE)) == 1
        assert text.count(finding.record) == 1 and text.count(finding.generation) == 1
        assert text.count(f"{finding.file}:{finding.line} ") >= 1


def test_every_text_of_a_finding_is_there_in_full(report: AuditReport, full: Path) -> None:
    text = squeezed(told("pdftotext", full, "-"))
    for finding in report.findings:
        for line in (*finding.record_text.splitlines(), *finding.generation_text.splitlines()):
            assert squeezed(line) in text


def test_every_page_is_numbered_and_labelled(pages: list[str]) -> None:
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert "UNSIGNED" in page and "CONFIDENTIAL" in page
        assert "support-bot-1.2-20260203T101112Z-3fa94c1b" in page


def test_the_first_page_says_what_it_is_and_to_what_it_belongs(pages: list[str]) -> None:
    words = " ".join(pages[0].split())
    assert "Evidence annex: support-bot-1.2" in words and "This annex belongs to report.pdf of the run" in words
    assert "Here are the 60 with the best evidence" in words and f"the first {PRINTED} are in the report too" in words
    assert "Chosen by rule and not by hand" in words and "what differs is underlined" in words


def test_it_declares_what_pdf_ua_asks_for(full: Path) -> None:
    tagged = TaggedPdf(full)
    metadata = tagged.root.Metadata.read_bytes().decode()
    assert "pdfuaid" in metadata and "Evidence annex: support-bot-1.2" in metadata
    assert str(tagged.root.Lang) == "en-GB" and tagged.root.MarkInfo.Marked
    assert tagged.root.ViewerPreferences.DisplayDocTitle
    tables = len(tagged.named("Table"))
    assert 1 < tables <= 60 and len(tagged.named("TH")) == 2 * tables and len(tagged.named("TD")) == 2 * tables
    facts = dict(tagged.pdf.docinfo.items())
    assert facts["/Title"] == "Evidence annex: support-bot-1.2" and facts["/Author"] == "Example AI"
    assert str(facts["/CreationDate"]).startswith("D:20260203101340")


def test_every_fifty_pairs_have_a_bookmark(full: Path) -> None:
    found = [title for level, title in TaggedPdf(full).bookmarks() if level == 1]
    assert found == ["Leaked records 1 to 50", "Leaked records 51 to 60"]


def test_fonts_are_embedded(full: Path) -> None:
    rows = told("pdffonts", full).splitlines()[2:]
    assert rows and all(" yes yes yes " in row for row in rows)


def test_the_same_annex_has_the_same_bytes(report: AuditReport, full: Path, tmp_path: Path) -> None:
    assert paper(report, tmp_path).read_bytes() == full.read_bytes()


def test_hostile_text_is_text(hostile: Path) -> None:
    text = squeezed(told("pdftotext", hostile, "-"))
    for name in ("script", "image", "style", "template", "mathematics", *TYPST):
        assert squeezed(TEXTS[name])[:60] in text, name
    assert "⟨ESC⟩[31m" in text and "⟨U+202E⟩" in text and "before⟨NUL⟩after" in text and "half⟨U+D800⟩apair" in text
    assert "root:" not in text
    assert not re.search(rb"/(JS|JavaScript|Launch|EmbeddedFile|URI)\b", inflated(hostile))


def test_texts_are_cut_where_it_says_so_and_stay_on_the_page(hostile: Path) -> None:
    text = told("pdftotext", hostile, "-")
    assert "… 999,000 characters left out" in " ".join(text.split())
    boxes = re.findall(r'xMax="([\d.]+)" yMax="([\d.]+)"', told("pdftotext", "-bbox", hostile, "-"))
    assert len(boxes) > 500
    assert max(float(right) for right, _ in boxes) < 595.3 - 40 and max(float(low) for _, low in boxes) < 841.9 - 20


def test_other_scripts_have_fonts_and_what_has_none_is_told_by_number(hostile: Path) -> None:
    rows = told("pdffonts", hostile)
    assert "CJK" in rows and "Devanagari" in rows and "Type 3" in rows  # pictures of emoji
    text = squeezed(told("pdftotext", "-raw", hostile, "-"))
    for sample in ("学習データに含まれる", "😀", "🎉", "שלום", "البيانات", "⟨U+16FE4⟩"):
        assert sample in text, sample
    assert "Fontsweremissingwhenthispagewasmade:1differentcharacter" in text
    assert text.count(squeezed("Not marked: a text that runs right to left is printed as one piece.")) == 3


def test_no_text_can_hold_the_mark_at_which_words_break() -> None:
    shown = annex(with_pairs([("a\x1fb", "a\x1fc"), ("d", "e")]), 1, False)
    assert paper_annex.BREAK not in json.dumps(shown, ensure_ascii=False) and "a⟨US⟩b" in str(shown)


def test_letters_keep_their_marks_where_a_word_breaks() -> None:
    (side, _) = annex(with_pairs([("a\u0301" * 60, "x")]), 1, False)["groups"][0]["pairs"][0]["sides"]
    text = "".join(piece["text"] for piece in side["pieces"])
    assert paper_annex.BREAK in text and f"{paper_annex.BREAK}\u0301" not in text


def test_the_redacted_annex_has_every_id_and_no_word(report: AuditReport, redacted: Path) -> None:
    text = told("pdftotext", redacted, "-")
    content = text.encode() + inflated(redacted)
    for finding in report.findings:
        assert text.count(finding.record) == 1
        for whole in (finding.record_text, finding.generation_text):
            assert not any(line.encode() in content for line in whole.splitlines())
    assert not [word for word in WORDS if re.search(rf"\b{word}\b".encode(), content, re.IGNORECASE)]
    assert "REDACTED" in text and "CONFIDENTIAL" not in text and "█" in text
    assert "belongs to report.redacted.pdf" in " ".join(text.split())


def test_of_a_redacted_report_there_is_only_the_redacted_annex(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = redact(build_report(findings_count=PAPER.findings + 1, examples=1))
    assert _wanted(report, tmp_path, monkeypatch) == ["report.redacted.pdf", "report.redacted.annex.pdf"]


def test_an_annex_is_written_where_findings_do_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fits = build_report(findings_count=PAPER.findings, examples=1)
    assert _wanted(fits, tmp_path, monkeypatch) == ["report.pdf", "report.redacted.pdf"]
    more = build_report(findings_count=PAPER.findings + 1, examples=1)
    four = ["report.pdf", "report.redacted.pdf", "report.annex.pdf", "report.redacted.annex.pdf"]
    assert _wanted(more, tmp_path, monkeypatch) == four
    assert {name for name in four if name not in PdfFormat.textless} == {"report.pdf", "report.annex.pdf"}


def _wanted(report: AuditReport, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are written of a report, without the time that laying them out takes."""

    def named(wanted: list[Sheets]) -> list[tuple[str, bytes]]:
        return [(sheets.name, sheets.layout.encode()) for sheets in wanted]

    monkeypatch.setattr(pdf_format, "laid_out", named)
    paths = PdfFormat().write(report, folder)
    assert all(path.read_bytes() == (b"annex_layout" if "annex" in path.name else b"paper_layout") for path in paths)
    return [path.name for path in paths]


@pytest.mark.parametrize("printed", [5, 6, 7])
def test_the_report_says_where_the_rest_is(printed: int) -> None:
    report = build_report(findings_count=6, examples=1)
    full, redacted = (annex_sentence(report, printed, redacted) for redacted in (False, True))
    if printed >= 6:
        assert full == redacted == ""
    else:
        assert full == "All 6, these among them and under the same numbers, are in report.annex.pdf."
        assert redacted.endswith("are in report.redacted.annex.pdf.")


def test_more_than_an_annex_holds_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_annex, "MOST", 4)
    report = build_report(findings_count=6, examples=1)
    sentence = annex_sentence(report, 2, False)
    assert "The first 4, " in sentence and "2 more are in the HTML report and in audit.json." in sentence
    assert [len(group["pairs"]) for group in annex(report, 2, False)["groups"]] == [4]


def test_laid_out_in_a_process_of_its_own_it_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    report = build_report(findings_count=2, examples=1)
    ((name, content),) = laid_out([Sheets("a.pdf", "annex_layout", lambda: json.dumps(annex(report, 1, False)))])
    assert name == "a.pdf" and content.startswith(b"%PDF")
    assert list(tmp_path.iterdir()) == []


def test_without_typst_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(MissingExtraError, match="Typst") as caught:
        PdfFormat().write(build_report(findings_count=PAPER.findings + 1, examples=1), tmp_path)
    assert "auditkit[pdf]" in caught.value.hint and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("finished", ["", "yesterday", "9999-12-31T23:59:59-14:00", "1066-10-14T09:00:00.5Z"])
def test_a_time_that_is_none_of_a_run_is_no_crash(finished: str) -> None:
    report = build_report(findings_count=2, examples=1)
    report = report.model_copy(update={"run": report.run.model_copy(update={"finished": finished})})
    content: dict[str, Any] = annex(report, 1, True)
    assert annex_layout.lay_out(json.dumps(content)).startswith(b"%PDF")


@pytest.mark.parametrize(
    "source", ['#read("/etc/passwd")', '#read("../../etc/passwd")', '#import "@preview/cetz:0.3.0"']
)
def test_even_a_template_could_read_nothing(source: str) -> None:
    with annex_layout._compiler() as compiler, pytest.raises(annex_layout.load_typst().TypstError):
        compiler.compile(source.encode(), format="pdf")


@pytest.mark.slow
def test_three_hundred_pages_of_evidence_take_less_than_a_minute(tmp_path: Path) -> None:
    """Of processor time, so that it means the same on a busy machine; it takes about seven seconds."""
    before = time.process_time()
    path = paper(build_report(findings_count=1260, examples=1), tmp_path)
    took = time.process_time() - before
    with pikepdf.open(path) as pdf:
        assert len(pdf.pages) >= 300 and took < 60
