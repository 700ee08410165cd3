from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.report.base import AuditReport, Column, ProbeReport, Table
from auditkit.report.differences import differences
from auditkit.report.html_format import HtmlFormat
from auditkit.report.json_format import JsonFormat, canonical
from auditkit.report.junit_format import JunitFormat
from auditkit.report.pdf_format import PdfFormat
from auditkit.report.redaction import redact, span_bar
from auditkit.report.sarif_format import SarifFormat
from tests.report.builder import build_report, small_report, with_texts
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


def test_a_report_that_claims_to_be_redacted_is_redacted_all_the_same() -> None:
    claimed = secret_report().model_copy(update={"redacted": True})
    assert_clean(canonical(redact(claimed)).decode())
    assert redact(claimed) == redact(secret_report())


@given(record=st.text(max_size=60), generation=st.text(max_size=60), claimed=st.booleans())
def test_redacting_twice_is_redacting_once(record: str, generation: str, claimed: bool) -> None:
    report = small_report(redacted=claimed)
    once = redact(with_texts(report, record, generation))
    assert redact(once) == once


def test_lengths_of_parameters_stay_when_redacted_again() -> None:
    report = build_report()
    arms = [arm.model_copy(update={"parameters": {"prefix": "Dear Mr Quillfeather,"}}) for arm in report.arms]
    once = redact(report.model_copy(update={"arms": arms}))
    assert once.arms[0].parameters == {"prefix": "21 characters"} and redact(once) == once


def test_what_only_looks_like_a_bar_is_not_one() -> None:
    """A foreign file cannot pass text as a bar: bars and a few digits are all that is left as it is."""
    for text in ("12 characters of Quillfeather", "█ Quillfeather █\n12 characters", "1234567890123456 characters"):
        shown = redact(with_texts(small_report(redacted=True), text, text)).findings[0]
        assert text not in (shown.record_text, shown.generation_text)


def test_all_else_stays() -> None:
    report = secret_report()
    redacted = redact(report)
    unchanged = set(AuditReport.model_fields) - {"findings", "figures", "policy", "redacted"}
    # The lock may quote texts, by the hand of whoever wrote the policy.
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
    assert len(bar) == 11 and bar.startswith("█" * 5) and bar.endswith("░" * 5)
    assert words.startswith("90 characters, 5")


def test_an_empty_text_has_no_bar() -> None:
    marked, _ = differences("", "x")
    assert span_bar(marked, 0) == "0 characters, 0% of them shared"


def one_word(record: str, generation: str) -> tuple[object, ...]:
    """All that the redacted report says of a leaked record that is one word."""
    finding = redact(with_texts(small_report(), record, generation)).findings[0]
    return finding.record_text, finding.generation_text, len(finding.spans)


@pytest.mark.parametrize("around", ["{}", "the password is {} and that is all", "{} " + "and on it goes " * 40])
def test_a_bar_tells_of_no_letter_of_a_word(around: str) -> None:
    """The same is said of any word of that length, whichever of its letters the generation has right."""
    said = {one_word(word, around.format(word)) for word in ("hunter2", "letmein", "qwertyu")}
    assert len(said) == 1
    wrong = {one_word("hunter2", around.format("hunter2"[:at] + "_" + "hunter2"[at + 1 :])) for at in range(7)}
    assert len({bars for bars, *_ in wrong}) == 1


def test_what_is_said_of_one_record_is_said_in_few_figures() -> None:
    report = small_report()
    precise = [finding.model_copy(update={"score": 0.987654, "levenshtein": 0.123456}) for finding in report.findings]
    redacted = redact(report.model_copy(update={"findings": precise}))
    assert {(finding.score, finding.levenshtein) for finding in redacted.findings} == {(0.99, 0.12)}
    assert {finding.generation_id for finding in redacted.findings} == {"template_prefix"}  # and no number
    points = [point for scatter in redacted.figures.scatters for point in scatter.points]
    assert points and all(round(point.embedding, 2) == point.embedding for point in points)


def test_a_record_in_a_table_of_a_probe_has_few_figures_and_the_rest_stays() -> None:
    columns = [Column(name="record", kind="record"), Column(name="log10 p", kind="number")]
    of_records = Table(title="t", columns=columns, rows=[["rec-1", -12.3456]])
    of_many = Table(title="t", columns=columns[1:], rows=[[-12.3456]])
    probe = ProbeReport(
        name="p", kind="p", dataset="sft", parameters={}, notes=[], unscored={}, tables=[of_records, of_many], charts=[]
    )
    shown = redact(small_report().model_copy(update={"probes": [probe]})).probes[0]
    assert [table.rows for table in shown.tables] == [[["rec-1", -12.0]], [[-12.3456]]]


def test_what_blinds_the_full_reports_is_not_in_the_redacted_ones(tmp_path: Path) -> None:
    report = small_report()
    report = report.model_copy(update={"run": report.run.model_copy(update={"blind": "5ca1ab1e" * 8})})
    full, redacted = HtmlFormat().write(report, tmp_path)
    assert "5ca1ab1e" in full.read_text() and "5ca1ab1e" not in redacted.read_text()
    assert "5ca1ab1e" not in canonical(redact(report)).decode()


def test_an_attack_has_its_name_on_the_redacted_page_and_an_id_stands_once(tmp_path: Path) -> None:
    _, path = HtmlFormat().write(secret_report(), tmp_path)
    page = path.read_text(encoding="utf-8")
    attacks = set(re.findall(r'data-attack="([^"]*)"', page))
    assert attacks and not any(name.startswith("gen-") for name in attacks)
    shown = re.findall(r"Generation <code>([^<]*)</code>", page)
    assert shown and not any(f'<span class="place">{name}</span>' in page for name in shown)
