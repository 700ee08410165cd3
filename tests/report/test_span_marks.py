"""Shared spans laid over a pair: on pages, on the terminal, and without a word of the data."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from auditkit.report.base import AuditReport, Finding
from auditkit.report.differences import differences
from auditkit.report.html_format import HtmlFormat
from auditkit.report.json_format import canonical
from auditkit.report.redaction import redact
from auditkit.report.scored import Span
from auditkit.report.span_marks import finding_differences, span_sentence, with_spans
from auditkit.report.terminal import show_leak
from auditkit.scoring.strings.spans import MINIMUM, longest_run, shared_spans
from tests.report.builder import small_report
from tests.report.hostile import HOSTILE, LONG_LINE
from tests.report.test_html_format import assert_harmless

SHARED = "The kettle costs twelve pounds and was sent on Thursday."
MOVED = "Please ring the engineer in Harbour Street before noon."


def finding(record: str, generation: str) -> Finding:
    """A finding about these texts, its spans and its longest run worked out."""
    run = longest_run(record, generation)
    spans = [
        Span(record_start=span.record_start, generation_start=span.generation_start, length=span.length)
        for span in shared_spans(record, generation)
    ]
    evidence = {
        "record_text": record, "generation_text": generation, "spans": spans, "longest_match": run.share,
        "longest_match_tokens": run.tokens, "record_tokens": run.of,
    }  # fmt: skip
    return small_report().findings[0].model_copy(update=evidence)


def report_of(record: str, generation: str) -> AuditReport:
    return small_report(findings=[finding(record, generation)])


@given(
    st.text("ab \n漢", max_size=60),
    st.text("ab \n漢", max_size=60),
    st.lists(st.tuples(st.integers(-5, 70), st.integers(-2, 30)), max_size=4),
)
def test_whatever_is_laid_over_a_text_it_stays_that_text(left: str, right: str, spans: list[tuple[int, int]]) -> None:
    for side in differences(left, right):
        marked = with_spans(side, spans)
        assert "".join(piece.text for piece in marked.pieces) == "".join(piece.text for piece in side.pieces)
        assert all(piece.text for piece in marked.pieces)


def test_each_span_is_a_piece_of_its_own_wherever_it_stands() -> None:
    record, generation = finding_differences(finding(SHARED + MOVED, MOVED + SHARED))
    for side in (record, generation):
        assert {piece.text for piece in side.pieces if piece.span} == {SHARED, MOVED}
        assert side.shared == 1


def test_a_span_is_cut_where_the_text_is() -> None:
    record, _ = finding_differences(finding(SHARED, SHARED), limit=10)
    assert [(piece.text, piece.span) for piece in record.pieces] == [("The kettle", True)]
    assert record.left_out == len(SHARED) - 10


def test_the_sentence_says_how_much_came_out_in_one_piece() -> None:
    leak = finding(f"{SHARED} So be it.", SHARED)
    assert span_sentence(leak) == "Longest shared span: 56 of 66 characters; 11 of 15 tokens (73.3\u00a0%)"
    short = finding("a kettle", "the kettle")
    assert span_sentence(short) == "No shared span is long enough to be marked; longest run: 1 of 2 tokens (50\u00a0%)"
    assert span_sentence(leak.model_copy(update={"longest_match": None})) == ""


def test_the_legend_states_the_minimum_that_spans_have(tmp_path: Path) -> None:
    page = HtmlFormat().write(report_of(SHARED, SHARED), tmp_path)[0].read_text()
    assert f"at\nleast {MINIMUM} characters" in page and f"at least {MINIMUM} characters" in page.replace("\n", " ")


def test_pages_mark_spans_by_more_than_a_colour(tmp_path: Path) -> None:
    page = HtmlFormat().write(report_of(f"Dear Ann, {SHARED}", f"Hello Bo, {SHARED}"), tmp_path)[0].read_text()
    (rule,) = re.findall(r"mark\.span \{([^}]*)\}", page)
    assert "border-width: 0 1.5px" in rule
    assert f'<mark class="span">, {SHARED}</mark>' in page
    assert page.count("Longest shared span: 58 of 66 characters") == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_spans_are_shown_not_run(tmp_path: Path, name: str) -> None:
    text = HOSTILE[name]
    leak = finding(f"{text} {text}", f"x{text}")
    for path in HtmlFormat().write(small_report(findings=[leak]), tmp_path):
        assert_harmless(path.read_text(encoding="utf-8"))
    assert not set(printed(leak)) & set("\x00\x07\x08\x1b\x9b\x7f\u202e\u200b\u2066\ufeff")


def test_spans_that_lie_are_only_marks(tmp_path: Path) -> None:
    lies = [Span(record_start=start, generation_start=-start, length=10**9) for start in (-5, 0, 3, 10**12)]
    leak = finding(SHARED, MOVED).model_copy(update={"spans": lies})
    assert SHARED.split()[1] in HtmlFormat().write(small_report(findings=[leak]), tmp_path)[0].read_text()


def printed(leak: Finding, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(show_leak(leak))
    return stream.getvalue()


def test_the_terminal_marks_spans_without_colour() -> None:
    text = re.sub(r"\s+", " ", printed(finding(f"Ann: {SHARED}", f"Bo {SHARED}"), 200))
    assert f"⟦ {SHARED}⟧" in text and "‹Ann:›" in text and "‹Bo›" in text
    assert "Longest shared span: 57 of 61 characters" in text
    assert len(printed(finding(LONG_LINE, LONG_LINE))) < 100_000


def test_a_redacted_report_keeps_lengths_and_no_word(tmp_path: Path) -> None:
    report = report_of(f"Dear Ann, {SHARED}", f"{SHARED} Regards, Bo")
    redacted = redact(report)
    assert redacted.findings[0].spans == []
    content = canonical(redacted).decode() + HtmlFormat().write(report, tmp_path)[1].read_text()
    flat = re.sub(r"\s+", " ", content)
    texts = (f"Dear Ann, {SHARED}", f"{SHARED} Regards, Bo")
    assert not [text[at : at + 8] for text in texts for at in range(len(text) - 7) if text[at : at + 8] in flat]
    assert "66 characters" in flat and "longest shared span 56" in flat
    assert "Longest run of shared tokens: 11 of 14 tokens" in flat.replace("\u00a0", " ")
