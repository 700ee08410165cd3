"""What the documents say of what a leak is worth."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from auditkit.report.base import AuditReport
from auditkit.report.document import PAPER, SCREEN, render
from auditkit.report.figures import draw_all
from auditkit.report.json_format import canonical, load
from auditkit.report.markdown_format import summary
from auditkit.report.pdf_format import PdfFormat
from auditkit.report.redaction import redact
from auditkit.report.shown_worth import worth_sentences
from auditkit.report.skipped import skipped
from auditkit.report.terminal import render_screen
from auditkit.report.worth import Worth
from tests.report.builder import small_report
from tests.report.hostile import HOSTILE
from tests.report.poppler import told
from tests.report.test_html_format import assert_harmless
from tests.report.worth_builder import task, worth

RECOVERED = (
    "With 2,000 generations (178,000 tokens), an attacker recovers 77.4 % (65.4 % to 89.4 %) of what the originals "
    "teach on “sums”. As many records of the same kind that the model never saw teach 87.1 % (75.1 % to 99.1 %) of it."
)
INCONCLUSIVE = (
    "Inconclusive on “words”: the originals do not clearly beat the base, their gain is +1 points (−4 to +6). No share "
    "of it can be told."
)


def report(found: Worth | None) -> AuditReport:
    return small_report(worth=found)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_sentence_a_task_says_what_it_comes_to() -> None:
    assert [plain(said) for said in worth_sentences(report(worth()))] == [RECOVERED, INCONCLUSIVE]
    assert worth_sentences(report(None)) == []


def test_nothing_shown_is_not_called_a_recovery() -> None:
    (said,) = worth_sentences(report(worth(task(verdict="nothing_shown"))))
    assert "no share of what the originals teach" in said and "recovers" not in said


def test_what_could_not_be_measured_says_why() -> None:
    failed = worth(tasks=[], arms=[], failed="0 rows of the extractions can be trained on: too few")
    (said,) = worth_sentences(report(failed))
    assert said == "Nothing was measured for “sft-support”: 0 rows of the extractions can be trained on: too few."
    page = render(report(failed), SCREEN, redacted=False)
    assert "Not measured" in page and "too few" in page


@pytest.mark.parametrize("medium", [SCREEN, PAPER], ids=["screen", "paper"])
@pytest.mark.parametrize("redacted", [False, True])
def test_the_page_has_the_section_with_tables_and_the_curve(medium: object, redacted: bool) -> None:
    page = plain(render(report(worth()), medium, redacted))  # type: ignore[arg-type]
    for words in (RECOVERED, INCONCLUSIVE, "What the budget bought", "exact duplicate 1,572", "Extractions, 30 %"):
        assert words in page
    assert "asks what a task asks 3" in page
    assert 'id="worth"' in page
    assert "held-out accuracy" in page.lower()
    assert 'id="worth"' not in render(report(None), medium, redacted)  # type: ignore[arg-type]


def test_the_curve_is_drawn_also_where_nothing_can_be_said() -> None:
    (chart,) = [chart for chart in draw_all(report(worth())) if chart.section == "worth"]
    assert "sums: score" in chart.svg and "words: share of the gain" in chart.svg
    assert "do not clearly beat the base" in chart.svg
    assert not [chart for chart in draw_all(report(worth(tasks=[]))) if chart.section == "worth"]


def test_one_budget_is_a_point() -> None:
    one = worth().model_copy(update={"budgets": worth().budgets[-1:]})
    kept = [t.model_copy(update={"results": [r for r in t.results if r.budget in {None, 1.0}]}) for t in one.tasks]
    assert [chart for chart in draw_all(report(one.model_copy(update={"tasks": kept}))) if chart.section == "worth"]


def test_the_screen_and_the_summary_say_it() -> None:
    shown = io.StringIO()
    Console(file=shown, width=100).print(render_screen(report(worth()), 100))
    assert "an attacker recovers 77.4" in plain(shown.getvalue())
    assert "### What the leak is worth" in summary(report(worth()))
    assert "What the leak is worth" not in summary(report(None))


def test_what_was_left_out_has_a_reason() -> None:
    failed = worth().arms[2].model_copy(update={"failed": "the training diverged"})
    found = worth().model_copy(update={"arms": [*worth().arms[:2], failed, *worth().arms[3:]]})
    rows = {row.what: row.why for row in skipped(report(found)) if row.part == "Worth of the leak"}
    assert rows["The trainings on controls"] == "the training diverged"
    assert "3 extractions" in rows


def test_it_is_read_back_as_it_was_written_redacted_or_not(tmp_path: Path) -> None:
    whole = report(worth())
    for one in (whole, redact(whole)):
        (tmp_path / "audit.json").write_bytes(canonical(one))
        assert load(tmp_path / "audit.json").worth == whole.worth


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_harmless(name: str) -> None:
    text = HOSTILE[name]
    evil = worth(task(text), dataset=text, attack=text, failed="")
    assert_harmless(render(report(evil), SCREEN, redacted=False))


@pytest.mark.slow
def test_the_pdf_has_it(tmp_path: Path) -> None:
    PdfFormat().write(report(worth()), tmp_path)
    text = " ".join(plain(told("pdftotext", tmp_path / "report.pdf", "-")).split())
    assert "What the leak is worth" in text and "an attacker recovers 77.4 %" in text
