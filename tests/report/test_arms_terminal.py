from __future__ import annotations

import re
from dataclasses import replace

import pytest

from auditkit.report.base import AuditReport
from auditkit.report.terminal import render_screen
from tests.report.arms_builder import FATES, Fate, mitigated_report
from tests.report.builder import small_report
from tests.report.hostile import HOSTILE
from tests.report.test_terminal import printed


def screen(report: AuditReport, width: int = 80) -> str:
    return printed(render_screen(report, width), width)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_arm_has_its_line_and_the_recommendation_its_sentence(width: int) -> None:
    text = screen(mitigated_report(), width)
    assert max(map(len, text.splitlines())) <= width
    flat = re.sub(r"\s+", "", text)
    for fate in FATES:
        assert fate.name[:12] in flat and (fate.name in flat or width < 80)  # too narrow a column folds a name
    for words in ("□ not viable", "✕ failed", "○ meaningless", "◇ viable?", "● pass"):
        assert words in text
    assert "Recommendation:“goldfish_loss”" in flat


def test_the_worst_dataset_speaks_for_an_arm() -> None:
    line = next(line for line in screen(mitigated_report()).splitlines() if "quantisation.4bit" in line)
    assert "38.1\u00a0%" in line and "7\u00a0% (−18 to 32)" in line and "+3.8\u00a0%" in line and "▲ fail" in line


def test_without_mitigations_the_screen_is_as_it_was() -> None:
    assert "Mitigations" not in screen(small_report())


def test_very_many_arms_do_not_fill_the_screen() -> None:
    fates = tuple(Fate(f"arm{n}", "lora", "training", 0.9, 0.01) for n in range(30))
    text = screen(mitigated_report(fates=fates))
    assert "10 more arms, in the reports" in text and "arm19 " in text and "arm20 " not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_signs(name: str) -> None:
    fate = replace(FATES[1], name=HOSTILE[name])
    shown = screen(mitigated_report(fates=(fate,)))
    assert not set(shown) & set("\x00\x07\x08\x1b\x9b\x7f\u202e\u200b\u2066\ufeff")
    assert max(map(len, shown.splitlines())) <= 80 or name in ("marks", "scripts")
