"""Other scripts than Latin on paper: shown where there is a font, told by number where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auditkit.report import paper_fonts
from auditkit.report.differences import Marked, Piece
from auditkit.report.direction import direction, runs_right_to_left
from auditkit.report.pdf_format import PdfFormat
from tests.report.builder import small_report
from tests.report.poppler import told

PAIRS = (
    ("データの漏洩。学習データに含まれる文章", "データの漏洩。学習データに含まれる文書"),
    ("تسرب البيانات من النموذج رقم 42", "تسرب البيانات من النظام رقم 42"),
    ("שלום עולם, הזמנה 17 בדרך אליך", "שלום לכם, הזמנה 18 בדרך אליך"),
    ("नमस्ते दुनिया 😀 \U00016fe4", "नमस्ते दुनिया 🎉"),
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    report = small_report()
    pairs = [
        finding.model_copy(update={"record_text": left, "generation_text": right})
        for finding, (left, right) in zip(report.findings, PAIRS, strict=True)
    ]
    report = report.model_copy(update={"findings": pairs})
    return PdfFormat().write(report, tmp_path_factory.mktemp("scripts"))[0]


def test_every_script_has_a_font_of_its_own_embedded(shown: Path) -> None:
    rows = told("pdffonts", shown).splitlines()[2:]
    assert all(" yes yes yes " in row for row in rows)
    for script in ("CJK", "Devanagari", "Emoji"):
        assert any(script in row for row in rows), script


def test_their_text_can_be_read_out_of_the_file(shown: Path) -> None:
    text = re.sub(r"\s", "", told("pdftotext", "-raw", shown, "-"))
    for sample in ("学習データに含まれる", "😀", "🎉", "שלום", "البيانات"):
        assert sample in text, sample


def test_arabic_letters_are_joined() -> None:
    """A letter has up to four forms, each a glyph of its own: the word takes more glyphs than it has letters."""
    from weasyprint import HTML

    letters = "\u0628\u0628\u0628\u0628"  # one letter four times: first, two in the middle, last
    content = HTML(string=f"<p>{letters} \u0628").write_pdf(uncompressed_pdf=True)
    shown = re.findall(rb"<([0-9a-f]+)>", content)
    glyphs = {run[at : at + 4] for run in shown for at in range(0, len(run), 4)}
    assert len(glyphs) >= 4 + 1  # and a space


def test_what_no_font_has_is_told_by_number_and_what_to_install(shown: Path) -> None:
    text = " ".join(told("pdftotext", shown, "-").split())
    assert "⟨U+16FE4⟩" in text and "Fonts were missing when this page was made: 1 different character" in text
    assert "fonts-noto-cjk" in text


def test_without_fonts_for_a_script_nothing_is_a_box() -> None:
    from weasyprint.text.fonts import FontConfiguration

    page = f"<p>plain é ⟨ESC⟩ \U00016fe4\U00016fe4 \ue000</p>{paper_fonts.PLACE}"
    told_page = paper_fonts.with_missing_shown(page, FontConfiguration())
    assert "<p>plain é ⟨ESC⟩ ⟨U+16FE4⟩⟨U+16FE4⟩ ⟨U+E000⟩</p>" in told_page
    assert "2 different characters" in told_page and paper_fonts.PLACE not in told_page


def test_where_nothing_is_missing_nothing_is_said() -> None:
    from weasyprint.text.fonts import FontConfiguration

    page = f"<p>plain é</p>{paper_fonts.PLACE}"
    assert paper_fonts.with_missing_shown(page, FontConfiguration()) == "<p>plain é</p>"


@pytest.mark.parametrize(
    ("text", "way"), [("42 שלום", "rtl"), ("العميل", "rtl"), ("abc שלום", "ltr"), ("42 !", "ltr"), ("", "ltr")]
)
def test_the_first_strong_letter_gives_the_direction(text: str, way: str) -> None:
    assert direction(text) == way


def test_a_right_to_left_text_is_not_cut_into_pieces(shown: Path) -> None:
    assert runs_right_to_left(Marked((Piece("plain ", True), Piece("עולם", False))))
    assert not runs_right_to_left(Marked((Piece("plain é 漢字", True),)))
    text = " ".join(told("pdftotext", shown, "-").split())
    assert text.count("Not marked: a text that runs right to left is printed as one piece.") == 2
