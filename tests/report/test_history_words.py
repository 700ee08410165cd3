"""The answer to "Was the bar set before the result?" says no more than is known, and nothing reassuring of a change."""

from __future__ import annotations

from typing import Any

import pytest

from auditkit.report import history_words
from auditkit.report.base import AuditReport
from auditkit.report.document import PAPER, SCREEN, render
from auditkit.report.history import EarlierRun, EarlierRuns, Registration
from tests.report.builder import build_report

HOSTILE = "<script>alert(1)</script>\u202e{{ 7 * 7 }}"


def registration(**changes: Any) -> Registration:
    facts = {"registered": "2026-02-01T09:00:00.000Z", "key_id": "k", "same_key": True, "sha256": "s"}
    return Registration.model_validate({**facts, "policy_sha256": "p", **changes})


def runs(*outcomes: str, problems: list[str] | None = None) -> EarlierRuns:
    made = [
        EarlierRun.model_validate({"run": f"run-{place}", "started": "2026-01-31T09:00:00Z", "outcome": outcome})
        for place, outcome in enumerate(outcomes)
    ]
    return EarlierRuns(runs=made, total=len(made), problems=problems or [])


def report(found: Registration | None, earlier: EarlierRuns | None) -> AuditReport:
    return build_report(findings_count=1, examples=1, registration=found, earlier_runs=earlier)


@pytest.mark.parametrize(
    ("found", "earlier", "said", "unsaid"),
    [
        (None, runs(), "was not registered", "was registered"),
        (None, runs("fail", "pass"), "2 earlier runs of the same model and data are known", "No earlier"),
        (registration(), runs(), "before any known run", "but after"),
        (registration(runs_before=3, earlier_runs=3), runs("fail"), "but after 3 earlier runs", "before any"),
        (registration(earlier_runs=2), runs(), "but after 2 earlier runs", "before any"),
        (
            registration(later_runs=1),
            runs("fail"),
            "1 earlier run of the same model and data is known from",
            "but after",
        ),
        (registration(differences=["A limit was loosened."]), runs(), "something else was run. A limit", "run as"),
        (registration(same_key=False), runs(), "another key", "something else"),
        (registration(stamped="2026-02-01T09:00:01Z", authority="TSA"), runs(), "a time stamp of TSA", "own clock"),
        (registration(), runs(problems=["x; what it says of earlier runs cannot be relied on."]), "relied on", "x;"),
    ],
)
def test_the_answer(found: Registration | None, earlier: EarlierRuns, said: str, unsaid: str) -> None:
    answer = history_words.answer(report(found, earlier))
    assert said in answer
    assert unsaid not in answer


def test_older_reports_have_no_answer_and_no_section() -> None:
    older = report(None, None)
    assert history_words.answer(older) == ""
    assert 'id="history"' not in render(older, SCREEN, False)


def test_every_earlier_run_stands_in_the_section_with_its_outcome() -> None:
    page = render(report(registration(), runs("fail", "interrupted", "unfinished")), SCREEN, False)
    section = page.partition('id="history"')[2].partition("</section>")[0]
    for words in (
        "run-0",
        "failed the gate",
        "run-1",
        "interrupted, not finished",
        "run-2",
        "cannot exclude runs made",
    ):
        assert words in section


@pytest.mark.parametrize("medium", [SCREEN, PAPER])
@pytest.mark.parametrize("redacted", [False, True])
def test_nothing_hostile_acts_there(medium: Any, redacted: bool) -> None:
    found = registration(authority=HOSTILE, stamped="2026-02-01T09:00:01Z", differences=[HOSTILE], unknown=[HOSTILE])
    earlier = runs("fail", problems=[HOSTILE])
    page = render(report(found, earlier), medium, redacted)
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "{{ 7 * 7 }}" in page
