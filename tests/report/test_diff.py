"""A comparison as it is shown: the same figures everywhere, nothing of it acted upon, nothing fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from auditkit.records import Estimate
from auditkit.report import diff_words as words
from auditkit.report.diff import (
    Compared,
    ComparedRun,
    Diff,
    DiffOutcome,
    MovedRecord,
    NotSame,
    RecordsMoved,
    ScoreShift,
)
from auditkit.report.diff_markdown import markdown
from auditkit.report.diff_page import page
from auditkit.report.diff_terminal import render_diff
from tests.report.hostile import HOSTILE

CHROMIUM = Path("/usr/bin/chromium")


def _estimate(value: float | None, metric: str = "adjusted_coverage", width: float = 0.01) -> Estimate:
    low, high = (None, None) if value is None else (value - width, value + width)
    return Estimate(metric, "sft", "template_prefix", value, low, high, "a method")


def _line(**changes: Any) -> Compared:
    parts: dict[str, Any] = {
        "metric": "adjusted_coverage",
        "dataset": "sft",
        "attack": "template_prefix",
        "view": "record",
        "before": _estimate(0.02),
        "after": _estimate(0.083),
        "difference": _estimate(0.063),
        "pairing": "independent",
        "why": "the seeds differ",
        "gate": True,
        "decides": True,
        "outcome_before": "pass",
        "outcome_after": "fail",
        "p": 0.0004,
        "adjusted_p": 0.0008,
        "movement": "rose",
    }
    return Compared(**(parts | changes))


def _run(name: str) -> ComparedRun:
    return ComparedRun(
        id=f"{name}-20260203T101112Z-3fa94c1b",
        policy=name,
        finished="2026-02-03T10:13:40Z",
        auditkit_version="0.1.0",
        schema_version="1.0",
        outcome="pass",
        arm="baseline",
        model="weights/post",
        model_sha256="a" * 64,
        integrity="intact, signer unknown",
        notes=["Written in report schema 1.0 by an earlier auditkit."],
    )


def _diff(outcome: DiffOutcome = "rose", **changes: Any) -> Diff:
    shift = ScoreShift(
        probe="min_k",
        metric="min_k",
        dataset="sft",
        records=1500,
        members=_estimate(0.5, "min_k"),
        controls=_estimate(0.1, "min_k"),
        excess=_estimate(0.4, "min_k"),
        rises=1200,
        falls=300,
    )
    newly = [MovedRecord(record="rec-5f0c", index=7, score_before=0.41, score_after=0.993)]
    parts: dict[str, Any] = {
        "auditkit_version": "0.1.0",
        "before": _run("bot-1.1"),
        "after": _run("bot-1.2"),
        "outcome": outcome,
        "sentence": "Leakage rose: adjusted coverage by +6.3 points.",
        "alpha": 0.05,
        "comparisons": 2,
        "gate": [_line(), _line(metric="string_memorisation_rate", movement="level", p=0.6, adjusted_p=0.6)],
        "others": [_line(metric="prefix_gain", gate=False, decides=False, adjusted_p=None, movement="fell_alone")],
        "scores": [shift],
        "records": [
            RecordsMoved(
                dataset="sft",
                view="record",
                attacks=["template_prefix"],
                records=1500,
                before=30,
                after=125,
                appeared=100,
                vanished=5,
                newly=newly,
            )
        ],
        "not_same": [NotSame(what="seed of template_prefix", before="7", after="8", consequence="nothing is paired")],
        "method": ["A difference is the second run's figure minus the first's."],
    }
    return Diff(**(parts | changes))


def _screen(diff: Diff, width: int = 80) -> str:
    stream = StringIO()
    Console(file=stream, width=width, color_system=None).print(render_diff(diff, width))
    return stream.getvalue()


def _text(html: str) -> str:
    """What a reader sees of a page."""
    seen: list[str] = []
    reader = HTMLParser()
    reader.handle_data = seen.append  # type: ignore[method-assign,assignment]
    reader.feed(re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))
    return " ".join(" ".join(seen).split())


def test_every_way_shows_the_same_figures() -> None:
    shown = [_screen(_diff(), 110), _text(page(_diff())), re.sub(r"\\(.)", r"\1", markdown(_diff()))]
    for text in (" ".join(one.split()) for one in shown):
        for said in ("2 %", "8.3 %", "+6.3 points", "+5.3 to +7.3", "the seeds differ", "rose", "bot-1.1", "bot-1.2"):
            assert said.replace("\N{NO-BREAK SPACE}", " ") in text.replace("\N{NO-BREAK SPACE}", " "), said
        assert "seed of template_prefix" in text and "nothing is paired" in text
        assert "125" in text and "100 newly" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_screen_keeps_to_the_terminal(width: int) -> None:
    assert max(len(line.rstrip()) for line in _screen(_diff(), width).splitlines()) <= width


@pytest.mark.parametrize(("outcome", "code"), [("rose", 1), ("fell", 0), ("level", 0), ("incomparable", 2)])
def test_the_headline_and_the_exit_code_come_from_one_value(outcome: DiffOutcome, code: int) -> None:
    diff = _diff(outcome)
    assert diff.exit_code == code
    assert words.HEADLINES[outcome].upper() in _screen(diff)
    assert words.HEADLINES[outcome] in _text(page(diff)) and words.HEADLINES[outcome] in markdown(diff)


def test_a_figure_of_one_run_is_shown_with_its_reason() -> None:
    alone = _line(before=None, difference=None, pairing="none", why="the first run has no dataset sft", p=None,
                  adjusted_p=None, decides=False, movement="not_compared", outcome_before=None)  # fmt: skip
    for text in (_screen(_diff(gate=[alone])), _text(page(_diff(gate=[alone]))), markdown(_diff(gate=[alone]))):
        assert "not compared" in text and "the first run has no dataset sft" in text


def test_what_only_chance_may_have_moved_is_marked_as_a_question() -> None:
    line = _line(movement="rose_alone", p=0.03, adjusted_p=0.06)
    assert words.word(line) == "rose?" and "0.03, corrected 0.06" in words.corrected(line)
    assert "not after correction" in " ".join(_screen(_diff("level", gate=[line])).split())
    assert words.word(_line(movement="rose_alone", decides=False)) == "higher"


def _hostile(text: str) -> Diff:
    run = _run("x").model_copy(update={"id": text, "policy": text, "model": text, "notes": [text], "finished": text})
    line = _line(dataset=text, attack=text, why=text)
    unlike = NotSame(what=text, before=text, after=text, consequence=text)
    moved = RecordsMoved(dataset=text, view="record", attacks=[text], reason="")
    named = moved.model_copy(
        update={"newly": [MovedRecord(record=text, index=1, score_before=0, score_after=1)], "appeared": 1}
    )
    return _diff(
        before=run, after=run, sentence=text, gate=[line], others=[line], not_same=[unlike], records=[moved, named]
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_comes_from_a_run_is_acted_upon(name: str) -> None:
    diff = _hostile(HOSTILE[name])
    html = page(diff)
    assert not re.search(r"<(script|img|iframe|svg|link)|onerror=|onmouseover=", _tags(html), re.IGNORECASE)
    assert html.count("</main>") == 1 and html.count("</style>") == 1
    for text in (_screen(diff), _text(html), markdown(diff)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u200b]", text)
        assert "7*7" not in HOSTILE[name] or "7*7" in text.replace("\\", "")  # not worked out
    assert not re.search(r"(?<!\\)[<>|`](?!\s*$)", _cells(markdown(diff)))


def _tags(html: str) -> str:
    return " ".join(re.findall(r"<[^>]*>", html))


def _cells(text: str) -> str:
    """The Markdown but for its own table lines."""
    return "\n".join(re.sub(r"(^\| )|( \|$)|( \| )", " ", line) for line in text.splitlines() if "---" not in line)


def test_the_page_is_one_file_that_fetches_nothing_and_runs_nothing() -> None:
    html = page(_diff())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy and policy[1].startswith("default-src 'none'") and "script-src 'none'" in policy[1]
    assert not re.search(r"(src|href)\s*=", html.replace('href="#', "")) and "url(" not in html
    assert "light-dark(" in html and "@media print" in html


@pytest.mark.slow
def test_a_browser_shows_it_without_a_complaint(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "diff.html").write_text(page(_hostile(HOSTILE["script"] + HOSTILE["image"])), encoding="utf-8")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        view = browser.new_page(offline=True, viewport={"width": 400, "height": 800})
        said: list[str] = []
        asked: list[str] = []
        view.on("console", lambda message: said.append(message.text))
        view.on("dialog", lambda dialog: said.append(dialog.message))
        view.on("request", lambda request: asked.append(request.url))
        view.goto(f"file://{tmp_path / 'diff.html'}")
        assert view.locator("h2").count() >= 4
        wide = view.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert said == [] and len(asked) == 1 and wide <= 400


def test_a_verdict_that_waivers_made_says_so_everywhere() -> None:
    after = _run("second").model_copy(update={"outcome": "pass", "waived": 2})
    diff = _diff("level", after=after, gate=[_line(outcome_before="fail", outcome_after="waived")])
    for shown in (_screen(diff, 160), _text(page(diff)), markdown(diff)):
        assert "with 2 failed rules waived" in " ".join(shown.split())
        assert "fail → waived" in shown


def test_each_note_has_a_row_of_its_own() -> None:
    first = _run("x").model_copy(update={"notes": ["signer unknown", "registered"]})
    rows = words.runs_in_words(_diff(before=first))
    assert rows[-2:] == [("Note", "signer unknown", _run("x").notes[0]), ("", "registered", "")]


def test_a_figure_of_the_gate_that_decides_nothing_says_so() -> None:
    line = _line(decides=False, why="not measured alike", movement="rose_alone")
    assert words.basis(line) == "independent: not measured alike; it decides nothing"
    assert words.basis(_line()) == "independent: the seeds differ"
