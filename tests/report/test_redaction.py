from __future__ import annotations

import re
from pathlib import Path

import pytest

from auditkit.report.base import AuditReport
from auditkit.report.differences import differences
from auditkit.report.html_format import HtmlFormat
from auditkit.report.json_format import JsonFormat, canonical
from auditkit.report.junit_format import JunitFormat
from auditkit.report.pdf_format import PdfFormat
from auditkit.report.redaction import CELLS, redact, span_bar
from auditkit.report.sarif_format import SarifFormat
from tests.report.builder import small_report, with_texts
from tests.report.poppler import inflated, told

RECORD = "Zephyrine Quillfeather, 14 Marmalade Crescent, owes £48,211.07 since Michaelmas."
GENERATION = "Zephyrine Quillfeather of 14 Marmalade Crescent owes roughly £48,211 since Hilary."
PIECE = 8  # characters: no stretch of a text as long as this may be left


def pieces(text: str) -> set[str]:
    return {text[start : start + PIECE] for start in range(len(text) - PIECE + 1)}


def assert_clean(content: str) -> None:
    flat = re.sub(r"\s+", " ", content)
    left = {piece for piece in pieces(RECORD) | pieces(GENERATION) if piece in flat}
    assert not left


def secret_report(record: str = RECORD, generation: str = GENERATION) -> AuditReport:
    return with_texts(small_report(), record, generation)


def test_nothing_of_a_text_is_left_in_the_data() -> None:
    redacted = redact(secret_report())
    assert_clean(canonical(redacted).decode())
    assert redacted.findings[0].record == secret_report().findings[0].record
    assert f"{len(RECORD)} characters" in redacted.findings[0].record_text


def test_what_is_redacted_already_is_left_as_it_is() -> None:
    once = redact(secret_report())
    assert once.redacted
    assert redact(once) == once


def test_all_else_stays() -> None:
    report = secret_report()
    redacted = redact(report)
    unchanged = set(AuditReport.model_fields) - {"findings", "figures", "policy", "redacted"}
    # The lock holds plain digests of the data, which confirm a guess, and may quote texts.
    assert redacted.policy == report.policy.model_copy(update={"text": ""})
    assert all(getattr(redacted, name) == getattr(report, name) for name in unchanged)
    assert redacted.attacks[0].prefixes[0].text == report.attacks[0].prefixes[0].text


@pytest.mark.parametrize(("record", "generation"), [(RECORD, GENERATION), ("Xyloquartz", "Xyloquartz")])
def test_redacted_pages_and_results_hold_no_word(tmp_path: Path, record: str, generation: str) -> None:
    report = secret_report(record, generation)
    for kind in (JsonFormat(), HtmlFormat(), SarifFormat(), JunitFormat()):
        for path in kind.write(report, tmp_path):
            content = path.read_text(encoding="utf-8")
            if path.name in ("report.html", "audit.json"):
                assert record.split(maxsplit=1)[0] in content
                continue
            assert_clean(content)
            assert "Xyloquartz" not in content


def test_the_redacted_pdf_holds_no_word(tmp_path: Path) -> None:
    full, redacted = PdfFormat().write(secret_report(RECORD, "Xyloquartz"), tmp_path)
    texts = [told("pdftotext", path, "-") for path in (full, redacted)]
    assert "Quillfeather" in texts[0] and "Xyloquartz" in texts[0]
    assert_clean(texts[1])
    assert "Xyloquartz" not in texts[1]
    raw = inflated(redacted)
    assert b"Xyloquartz" not in raw and "Xyloquartz".encode("utf-16-be") not in raw


def test_a_bar_shows_where_texts_agree_and_how_long_they_are() -> None:
    half = "the same words at the beginning of both texts "
    marked, _ = differences(half + "alpha beta gamma delta epsilon zeta eta theta", half + "0123456789 " * 4)
    bar, words = span_bar(marked, 90).split("\n")
    assert len(bar) == CELLS and bar.startswith("█" * 15) and bar.endswith("░" * 15)
    assert words.startswith("90 characters, 5")


def test_an_empty_text_has_no_bar() -> None:
    marked, _ = differences("", "x")
    assert span_bar(marked, 0) == "0 characters, 0% of them shared"
