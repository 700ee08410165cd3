from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from auditkit.report.base import Outcome, ReleaseInfo, SignatureInfo, Verdict
from auditkit.report.terminal import render_screen, show_pair
from tests.report.builder import rule, small_report
from tests.report.hostile import HOSTILE, LONG_LINE, SURROGATE


def printed(renderable: RenderableType, width: int = 80, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None)
    console.print(renderable)
    return stream.getvalue()


@pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive"])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_screen_fits_and_says_all(outcome: Outcome, width: int) -> None:
    report = small_report(outcome)
    text = printed(render_screen(report, width, [Path("reports/run/report.html")]), width)
    assert max(map(len, text.splitlines())) <= width
    flat = re.sub(r"\s+", " ", text)
    assert outcome.upper() in flat and "reports/run/report.html" in flat and "barely more than the 368" in flat
    for each in report.verdict.rules:
        assert each.dataset in flat and f"limit {each.limit:.0%}".replace("%", " %") in flat
    assert ("What would settle it" in flat) == (outcome == "inconclusive")


def test_an_unsigned_run_says_so() -> None:
    text = printed(render_screen(small_report(signature=SignatureInfo(signed=False)), 80))
    assert "[UNSIGNED]" in text


def test_long_paths_are_whole_and_near_ones_short() -> None:
    path = Path("/" + "/".join(["a-rather-long-folder-name"] * 8) + "/report.pdf")
    near = Path.cwd() / "reports" / "report.html"
    text = printed(render_screen(small_report(), 80, [path, near]))
    assert str(path) in text.replace("\n", "") and "\nreports/report.html" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_reach_the_terminal_only_as_signs(name: str) -> None:
    text = HOSTILE[name]
    verdict = Verdict(outcome="fail", arm=text, rules=[rule("fail", text, 0.5, 0.1, reason=text)], cautions=[text])
    release = ReleaseInfo(organisation=text, auditor=text, access="api", arm="baseline")
    screen = render_screen(
        small_report(verdict=verdict, release=release), 80, [Path("x") / text.replace("/", "_")[:80]]
    )
    for shown in (printed(screen), printed(show_pair(text, text[::-1]))):
        assert not set(shown) & set("\x00\x07\x08\x1b\x9b\x7f\u202e\u200b\u2066\ufeff")
    if name == "markup":
        assert "[bold red]not markup[/]" in printed(show_pair(text, text), 200)


def test_with_colour_only_our_own_sequences_appear() -> None:
    shown = printed(show_pair("\x1b[31mred", "\x1b]8;;x\x07"), colour=True)
    assert set(re.findall(r"\x1b.[^m]{0,8}", shown)) and "\x1b[31mred" not in shown and "\x1b]" not in shown


def test_differences_can_be_told_without_colour() -> None:
    text = re.sub(r"\s+", " ", printed(show_pair("the kettle costs twelve pounds", "the boiler costs twelve pounds")))
    assert "‹the kettle›" in text and "‹the boiler›" in text and "costs twelve pounds" in text


@pytest.mark.parametrize("text", [LONG_LINE, SURROGATE, "", "\n" * 5000])
def test_extreme_texts_are_bounded(text: str) -> None:
    assert len(printed(show_pair(text, "short"))) < 2_000_000
