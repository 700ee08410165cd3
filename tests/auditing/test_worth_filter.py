"""The filter in a run: its judge is counted and kept, and is sent nothing that must not leave the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from auditkit.auditing.context import Context
from auditkit.auditing.events import EventLog
from auditkit.auditing.progress import Silent
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.spending import spent_on
from auditkit.auditing.worth_filter import filtered_extractions, judge_facts, opened_judge, what_the_judge_costs
from auditkit.errors import AuditkitError
from auditkit.models.base import LanguageModel
from auditkit.models.scripted import ScriptedBackend
from auditkit.policy.load import load_policy
from auditkit.worth.base import JUDGED, Extraction, FilterSection
from auditkit.worth.filtering import filtered
from tests.auditing.small_project import policy_data, write_project
from tests.models.remote.openai_server import MODEL, Canned, OpenAIServer, openai_server
from tests.worth.judging import Speaking, extraction, shown

GIVEN = [extraction(number, f"What is the {word} for?") for number, word in enumerate(("lamp", "oar", "sieve"))]
AWAY = {"backend": "openai_compatible", "base_url": "https://api.example.com/v1", "api_key": "env:NOT_SET"}


def verdict(text: str) -> str:
    return "Score: 2" if "oar" in shown(text)["question"] else "Score: 5"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    def decide(body: dict[str, Any]) -> Canned:
        text = verdict(body["messages"][0]["content"])
        choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 300, "completion_tokens": 4}
        return Canned(body={"choices": [choice], "model": MODEL, "usage": usage})

    with openai_server([("a", "b")]) as running:
        running.decide = decide
        yield running


def context(folder: Path, **dataset: Any) -> Context:
    """A run that was begun, as far as the filter looks at it."""
    data = policy_data()
    data["datasets"][0] |= dataset
    policy = load_policy(write_project(folder / "project", data))
    run = RunFolder(folder / "run")
    run.work.mkdir(parents=True, exist_ok=True)
    return Context(policy, cast("Any", None), [], b"secret", run, EventLog(run.events), Silent())


def section(model: dict[str, Any]) -> FilterSection:
    given = {"near_duplicates": None, "judge": {"model": {"model": MODEL, "api": "chat", **model}}}
    return FilterSection.model_validate_json(json.dumps(given), strict=True)


def asked(server: OpenAIServer) -> dict[str, Any]:
    return {"backend": "openai_compatible", "base_url": server.url}


def test_without_a_judge_nothing_is_opened(tmp_path: Path) -> None:
    found = filtered_extractions(context(tmp_path), FilterSection(near_duplicates=None), GIVEN)
    assert found.counts() == {"kept": 3}
    assert list((tmp_path / "run" / "work").iterdir()) == []


def test_a_judge_on_this_machine_may_read_what_must_not_leave_it(tmp_path: Path, server: OpenAIServer) -> None:
    run = context(tmp_path)
    found = filtered_extractions(run, section(asked(server)), GIVEN)
    assert found.dropped == {1: JUDGED}
    spent = spent_on(run.log, "judge")
    assert (spent.requests, spent.input_tokens, spent.output_tokens) == (3, 900, 12)
    assert "lamp" not in run.run.events.read_text()


def test_a_run_that_goes_on_asks_nothing_twice(tmp_path: Path, server: OpenAIServer) -> None:
    first = filtered_extractions(context(tmp_path), section(asked(server)), GIVEN[:2])
    again = context(tmp_path)
    whole = filtered_extractions(again, section(asked(server)), GIVEN)
    assert len(server.requests) == 3
    assert [one.ordinal for one in whole.kept] == [0, 2]
    assert first.dropped == {1: JUDGED}
    assert spent_on(again.log, "judge").requests == 3


def test_several_budgets_share_one_judge(tmp_path: Path, server: OpenAIServer) -> None:
    rules, told = section(asked(server)), list[int]()
    with opened_judge(context(tmp_path), rules, told.append) as judge:
        kept = [len(filtered(GIVEN[:most], rules, judge).kept) for most in (1, 2, 3)]
    assert kept == [1, 1, 2]
    assert len(server.requests) == 3
    assert sum(told) == 6


def test_what_must_not_leave_the_machine_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(AuditkitError, match="sft forbids") as caught:
        filtered_extractions(context(tmp_path), section(AWAY), GIVEN)
    assert "external_processing" in caught.value.hint


def test_what_may_leave_is_sent_where_the_policy_says(tmp_path: Path) -> None:
    with pytest.raises(AuditkitError, match="NOT_SET is not set"):
        filtered_extractions(context(tmp_path, external_processing="allow"), section(AWAY), GIVEN)


def test_the_scores_of_a_local_model_are_kept_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Speaking] = []

    def open_(_: ScriptedBackend, role: str) -> LanguageModel:
        assert role == "judge"
        opened.append(Speaking(verdict))
        return opened[-1]

    monkeypatch.setattr(ScriptedBackend, "open", open_)
    rules = FilterSection.model_validate({"judge": {"model": {"backend": "scripted", "lines": [{"user": "x"}]}}})
    many: list[list[Extraction]] = [GIVEN[:2], GIVEN]
    for given in many:
        filtered_extractions(context(tmp_path), rules, given)
    assert [len(model.asked_of) for model in opened] == [2, 1]


def test_the_report_can_say_who_judged_and_for_how_much(tmp_path: Path, server: OpenAIServer) -> None:
    run, rules = context(tmp_path), section(asked(server) | {"usd_per_million_input_tokens": 10.0})
    assert rules.judge is not None
    filtered_extractions(run, rules, GIVEN)
    facts = judge_facts(run, rules.judge)
    assert (facts["model"], facts["requests"], facts["usd"], facts["keep_from"]) == (MODEL, 3, 0.009, 4)
    assert facts["answered_as"] == [MODEL]
    assert len(facts["rubric_sha256"]) == 64
    local = FilterSection.model_validate({"judge": {"model": {"backend": "scripted", "lines": [{"user": "x"}]}}})
    assert local.judge is not None
    assert "requests" not in judge_facts(run, local.judge)
    assert what_the_judge_costs(local.judge, 1000) == ("", "")


def test_what_a_judge_may_cost_is_said_before(server: OpenAIServer) -> None:
    rules = section(
        asked(server)
        | {
            "usd_per_million_input_tokens": 10.0,
            "usd_per_million_output_tokens": 0.0,
            "budget": {"usd": 1.0},
        }
    )
    assert rules.judge is not None
    told, warning = what_the_judge_costs(rules.judge, 1000)
    assert told.startswith("judge: at most about 1,006 requests")
    assert "US dollars" in told
    assert "the budget may not do" in warning
    away = section(AWAY).judge
    assert away is not None
    assert "no budget is set" in what_the_judge_costs(away, 1000)[1]
