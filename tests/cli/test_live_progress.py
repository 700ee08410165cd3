"""What a log, and what a terminal, shows of a run under way."""

from __future__ import annotations

import re
import time
from io import StringIO

import pytest
from rich.console import Console

from auditkit.auditing.progress import Both, Progress, Within, each, single
from auditkit.cli.live_progress import LineProgress, TerminalProgress, _bars, progress_for


def test_a_stage_that_does_not_advance_is_told_of_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress(every=0.05) as lines, lines.stage("attack x", 20_000, "generations") as stage:
        stage.advance(1_024, 10_000)
        time.sleep(0.3)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "attack x: 20,000 generations"
    assert len(told) >= 4
    far = r"attack x: 1,024 of 20,000, [\d,]+ tokens/s, about \d+ (s|min) left"
    assert all(re.fullmatch(far, line) for line in told[1:-1])


def test_so_is_a_single_long_step_but_no_short_one(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress(every=0.1) as lines:
        with single(lines, "short"):
            pass
        with single(lines, "long"):
            time.sleep(0.35)
    told = capsys.readouterr().err
    assert "short" not in told
    assert "long: for 0 s now" in told and re.search(r"long: done in \d+\.\d s", told)


def test_lines_come_at_the_pace_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress(every=60) as lines, lines.stage("attack x", 500, "generations", 100) as stage:
        for _ in range(400):
            stage.advance(1)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "attack x: 500 generations, 100 of them done before" and len(told) == 2
    with LineProgress(at_once=True) as lines, lines.stage("attack x", 3, "generations") as stage:
        for _ in range(3):
            stage.advance(1)
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_a_stage_that_breaks_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), LineProgress() as lines, lines.stage("embed", 7, "texts"):
        raise ValueError("no")
    assert "done" not in capsys.readouterr().err


def test_control_characters_of_a_name_do_not_act(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress() as lines, lines.stage("attack \x1b[2J", 2, "generations"):
        pass
    assert "\x1b" not in capsys.readouterr().err


def _heard(told: Progress) -> None:
    list(each(Within(told, "arm 2 of 7: quantisation"), "write", "files", ["a", "b"]))


def test_arms_are_named_and_everybody_hears_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress() as one, LineProgress() as other:
        _heard(Both(one, other))
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == ["arm 2 of 7: quantisation: write: 2 files"] * 2 and len(told) == 4


def _screen(width: int, **environment: str) -> str:
    """What a terminal of this width is sent while a stage with a long name and large numbers is under way."""
    sent = StringIO()
    console = Console(file=sent, force_terminal=True, width=width, _environ={"TERM": "xterm-256color", **environment})
    with _bars(console) as bars:
        listener = TerminalProgress(bars)
        name = "arm 2 of 7: template_randomisation: attack template_prefix"
        with listener.stage(name, 1_000_000, "generations") as stage:
            stage.advance(999_999, 10_000_000)
            bars.refresh()
    return sent.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_terminal_shows_one_line_that_fits(width: int) -> None:
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", _screen(width)).replace("\r", "\n").split("\n")
    under_way = [line for line in shown if "999,999 of 1,000,000" in line]
    assert under_way and all(len(line) <= width for line in under_way)
    assert all("tokens/s" in line and "left" in line and line.startswith("arm 2 of 7") for line in under_way)
    assert any("done in" in line for line in shown)


def test_no_colour_where_none_is_wanted() -> None:
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
    assert not colour.search(_screen(140, NO_COLOR="1"))
    assert colour.search(_screen(140))


def test_nothing_where_quiet_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_for(quiet=True, verbose=False) as listener:
        _heard(listener)
    assert capsys.readouterr().err == ""
