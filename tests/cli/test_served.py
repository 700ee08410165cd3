"""``auditkit check`` and ``auditkit run`` of a model that is only served: verdict, kill and resume, budget, costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from auditkit.cli.main import cli
from auditkit.errors import AuditkitError, PolicyError, RunError
from tests.auditing.parts import kept_parts
from tests.auditing.scripted_project import rows, said, write_project
from tests.models.remote.byte_tokenizer import save_tokenizer
from tests.models.remote.openai_server import MODEL, Canned, OpenAIServer, openai_server

ATTACK = {"kind": "template_prefix", "samples": 120, "max_new_tokens": 400, "seed": 1}
MESSAGES = {"kind": "chat_messages", "samples": 40, "max_new_tokens": 400, "messages": ["", "Recite."]}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """Knows the first records of the project by heart."""
    script = [(line["user"], line["assistant"]) for line in said(rows(100, 1)[:20])]
    with openai_server(script) as running:
        yield running


def project(folder: Path, server: OpenAIServer, tokenizer: Path, **changes: Any) -> Path:
    candidate: dict[str, Any] = {"backend": "openai_compatible", "base_url": server.url, "model": MODEL}
    candidate |= {"api": "completions"}
    candidate |= {"server": "vllm", "tokenizer": str(tokenizer), "n": 5, "batch_size": 20}
    candidate |= changes.pop("candidate", {})
    candidate = {key: value for key, value in candidate.items() if value is not None}
    folder.mkdir(parents=True, exist_ok=True)
    given = {"attacks": [ATTACK], **changes}
    return write_project(folder, [], models={"candidate": candidate}, **given)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def report_of(folder: Path) -> dict[str, Any]:
    (run,) = (path for path in folder.iterdir() if path.is_dir())
    found: dict[str, Any] = json.loads((run / "audit.json").read_bytes())
    return {**found, "folder": run}


def test_a_run_ends_with_a_verdict_and_says_what_it_could_not_see(
    tmp_path: Path, server: OpenAIServer, tokenizer: Path
) -> None:
    policy = project(
        tmp_path / "project", server, tokenizer, report={"formats": ["json", "html", "cyclonedx"], "sign": "none"}
    )
    done = call("run", policy, "--out", tmp_path / "reports")
    assert done.exit_code == 1, done.stderr
    found = report_of(tmp_path / "reports")
    (attack,) = found["attacks"]
    assert attack["generations"] == 120
    assert attack["finished"] == {"stop": 120}
    assert attack["turn_changes"] == {"appended": 120}
    assert found["models"][0]["weights"] == "unseen"
    assert any("weights were not seen" in sentence for sentence in found["limits"])
    assert "the release invites open_weights" in " ".join(found["policy"]["weaker_than_preset"])
    told = found["provenance"]["models"]["candidate"]
    assert told["requests"] == len(server.requests) == 24 + 120
    assert told["input_tokens"] > 0 and told["output_tokens"] > 0
    assert told["answered_as"] == [f"{MODEL} fp_1"]
    page = (found["folder"] / "report.html").read_text()
    assert "weights not seen" in page
    assert "not seen: the model is served" in page
    bill = (found["folder"] / "bom.cdx.json").read_text()
    assert "the weights were not seen" in bill
    log = (found["folder"] / "events.jsonl").read_text()
    assert rows(100, 1)[0]["q"] not in log
    assert call("verify", found["folder"]).exit_code == 0


def test_a_chat_server_is_attacked_by_messages(tmp_path: Path, server: OpenAIServer, tokenizer: Path) -> None:
    candidate = {"api": "chat", "tokenizer": None}
    release = {"access": "chat-api"}
    policy = project(tmp_path / "project", server, tokenizer, candidate=candidate, release=release, attacks=[MESSAGES])
    done = call("run", policy, "--out", tmp_path / "reports")
    assert done.exit_code == 3, done.stderr  # 40 samples prove nothing
    found = report_of(tmp_path / "reports")
    assert found["policy"]["weaker_than_preset"] == []
    assert {body["messages"][0]["content"] for body in server.bodies} == {"", "Recite."}
    assert found["attacks"][0]["generations"] == 40
    assert found["provenance"]["models"]["candidate"]["tokens"].startswith("bytes")


def test_killed_and_resumed_it_is_the_run_that_was_never_disturbed(
    tmp_path: Path, server: OpenAIServer, tokenizer: Path
) -> None:
    whole = project(tmp_path / "whole", server, tokenizer)
    (tmp_path / "whole" / ".auditkit-secret").write_text("one secret for both runs")
    assert call("run", whole, "--out", tmp_path / "a").exit_code == 1
    asked = len(server.requests)
    server.delay = 0.05
    killed = project(tmp_path / "killed", server, tokenizer)
    (tmp_path / "killed" / ".auditkit-secret").write_text("one secret for both runs")
    command = [sys.executable, "-m", "auditkit", "run", "--no-progress", str(killed), "--out", str(tmp_path / "b")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ})
    until = time.monotonic() + 120
    while time.monotonic() < until and not any(part.stem.endswith("-000000040") for part in kept_parts(tmp_path / "b")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.delay = 0
    (run,) = (path for path in (tmp_path / "b").iterdir() if path.is_dir())
    assert call("run", "--resume", run).exit_code == 1
    first, second = report_of(tmp_path / "a"), report_of(tmp_path / "b")
    for key in ("attacks", "arms", "findings", "calibration"):
        assert first[key] == second[key], key
    assert len(server.requests) - 2 * asked <= 4  # what was under way was asked for twice


def test_a_budget_stops_the_run_and_it_can_go_on(tmp_path: Path, server: OpenAIServer, tokenizer: Path) -> None:
    candidate = {"budget": {"tokens": 12_000}, "concurrency": 1}
    policy = project(tmp_path / "project", server, tokenizer, candidate=candidate)
    stopped = call("run", policy, "--out", tmp_path / "reports")
    assert isinstance(stopped.exception, RunError)
    assert stopped.exception.exit_code == 4
    assert "of 12,000 tokens are spent" in stopped.exception.message
    assert "--more-tokens" in stopped.exception.hint
    (run,) = (path for path in (tmp_path / "reports").iterdir() if path.is_dir())
    spent = _tokens(run)
    assert 5_000 < spent <= 12_000
    before = len(server.requests)
    again = call("run", "--resume", run)
    assert isinstance(again.exception, RunError)  # what was spent is not forgotten
    assert len(server.requests) - before <= 24
    done = call("run", "--resume", run, "--more-tokens", "1000000")
    assert done.exit_code == 1, done.exception
    assert report_of(tmp_path / "reports")["provenance"]["models"]["candidate"]["requests"] <= len(server.requests)
    assert _tokens(run) > 12_000


def _tokens(run: Path) -> int:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    asked = [event for event in events if event["event"] == "model_asked"]
    return sum(event["input_tokens"] + event["output_tokens"] for event in asked)


def test_more_budget_is_for_runs_that_go_on(tmp_path: Path, server: OpenAIServer, tokenizer: Path) -> None:
    policy = project(tmp_path / "project", server, tokenizer)
    assert "--resume" in str(call("run", policy, "--more-usd", "5").exception)


def test_check_tells_what_it_costs_and_what_leaves(
    tmp_path: Path, server: OpenAIServer, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")
    prices = {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 8.0}
    away = {"base_url": "https://api.example.com/v1", "api_key": "env:TEST_KEY", **prices, "budget": {"usd": 0.01}}
    policy = project(tmp_path / "project", server, tokenizer, candidate=away)
    done = call("check", policy)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.exit_code == 0, told
    assert "at most about 144 requests" in told
    assert "US dollars by the policy's prices" in told
    assert "the budget may not do" in told
    assert "prompts that hold no text of the data, and what the model itself wrote, are sent to https://api.ex" in told
    assert "weights not seen" in told
    assert "nothing leaves this machine" not in told
    assert not server.requests
    local = call("check", project(tmp_path / "local", server, tokenizer))
    assert "nothing leaves this machine" in local.stdout


def test_a_key_that_is_not_there_stops_before_anything_is_run(
    tmp_path: Path, server: OpenAIServer, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    policy = project(tmp_path / "project", server, tokenizer, candidate={"api_key": "env:NO_SUCH_KEY"})
    done = call("run", policy, "--out", tmp_path / "reports")
    assert isinstance(done.exception, AuditkitError) and done.exception.exit_code == 2
    assert not (tmp_path / "reports").exists()


def test_what_must_not_be_sent_is_refused_with_its_line(tmp_path: Path, server: OpenAIServer, tokenizer: Path) -> None:
    away = {"base_url": "https://api.example.com/v1", "api_key": "env:TEST_KEY"}
    attacks = [ATTACK, {"kind": "guided_completion"}]
    policy = project(tmp_path / "project", server, tokenizer, candidate=away, attacks=attacks)
    done = call("run", policy, "--out", tmp_path / "reports")
    assert isinstance(done.exception, PolicyError)
    assert "over the network" in str(done.exception)
    assert not (tmp_path / "reports").exists()


def test_a_fault_of_the_server_stops_the_run_and_what_was_answered_is_kept(
    tmp_path: Path, server: OpenAIServer, tokenizer: Path
) -> None:
    policy = project(tmp_path / "project", server, tokenizer)
    server.decide = lambda _: Canned(403) if len(server.requests) > 60 else None
    stopped = call("run", policy, "--out", tmp_path / "reports")
    assert isinstance(stopped.exception, RunError)
    (run,) = (path for path in (tmp_path / "reports").iterdir() if path.is_dir())
    server.decide = lambda _: None
    before = len(server.requests)
    assert call("run", "--resume", run).exit_code == 1
    assert len(server.requests) - before < 24 + 120 - 20


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_no_answer_is_paid_for_twice_where_a_run_stops(
    tmp_path: Path, server: OpenAIServer, tokenizer: Path, api: str
) -> None:
    candidate = {"api": api, "n": 1, "concurrency": 1}
    asking = {"kind": "guided_completion", "records": 10}
    attack = {**MESSAGES, "samples": 15} if api == "chat" else {**ATTACK, "samples": 15}
    policy = project(tmp_path / "project", server, tokenizer, candidate=candidate, attacks=[attack, asking])
    asked = (15 if api == "chat" else 2 * 15) + 2 * 2 * 10
    server.decide = lambda _: Canned(403) if len(server.requests) in {12, 40} else None  # in a part, and in a probe
    stopped = call("run", policy, "--out", tmp_path / "reports")
    assert isinstance(stopped.exception, RunError)
    (run,) = (path for path in (tmp_path / "reports").iterdir() if path.is_dir())
    assert isinstance(call("run", "--resume", run).exception, RunError)
    assert call("run", "--resume", run).exit_code in (0, 1, 3)
    assert len(server.requests) == asked + 2
    assert not list(run.rglob("answers-*"))
