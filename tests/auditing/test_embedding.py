"""Embedding within a run: paid for once, never on data that must stay, and not in the way where its cache fails."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from auditkit.auditing.embedding import cache_folder, opened_embedding
from auditkit.auditing.events import EventLog
from auditkit.auditing.preflight import preflight
from auditkit.auditing.progress import Silent
from auditkit.auditing.runner import audit, resume
from auditkit.cli.main import cli
from auditkit.errors import AuditkitError, PolicyError, RunError
from auditkit.policy.load import load_policy
from auditkit.policy.schema import Policy
from tests.scoring.embedders.gemini_server import KEY, GeminiServer, gemini_server

POLICY = """
version: 1
name: paid
models:
  candidate:
    backend: scripted
    lines:
      - {user: "How do I reset the blue lamp in the hall?", assistant: "Hold the button for ten seconds."}
      - {user: "Where is the invoice for my kettle?", assistant: "Open the account page and choose invoices."}
datasets:
  - {name: sft, stage: sft, path: sft.jsonl, fields: {prompt: q}, controls: controls.jsonl,
     external_processing: allow}
  - {name: more, stage: sft, path: more.jsonl, fields: {prompt: q}, controls: controls.jsonl,
     external_processing: allow}
attacks:
  - {kind: template_prefix, samples: 60, max_new_tokens: 200, seed: 3}
scoring:
  semantic_threshold: 0.9
  embedder: {kind: gemini, output_dimensionality: 128, batch_size: 20, base_url: "URL"}
gate: [{metric: adjusted_coverage, attack: template_prefix, max: 0.6}]
report: {formats: [html, json], sign: none}
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    with gemini_server() as running:
        yield running


WORDS = (
    "kettle lamp invoice parcel garden bicycle window ticket coffee printer river ladder candle harbour pencil mirror "
    "orchard blanket compass thunder violin cabbage lantern saddle feather marble pigeon walnut copper meadow"
).split()


def question(number: int) -> str:
    """No two are alike."""
    return f"Question: {' '.join(random.Random(number).sample(WORDS, 12))}?"


def project(folder: Path, server: GeminiServer, text: str = POLICY) -> Path:
    """A policy with data. No two of its texts are equal."""

    def rows(name: str, first: int, count: int) -> None:
        made = [{"q": question(i)} for i in range(first, first + count)]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in made))

    folder.mkdir(exist_ok=True)
    rows("sft.jsonl", 0, 50)
    rows("more.jsonl", 100, 50)
    rows("controls.jsonl", 1000, 40)
    (folder / "policy.yaml").write_text(text.replace("URL", server.url))
    return folder / "policy.yaml"


def sent_by_the_log(run: Path) -> int:
    """Texts that the event log says were handed to the API."""
    events = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return sum(event["texts"] for event in events if event["event"] == "texts_sent")


def run_of(out: Path) -> Path:
    (run,) = (path for path in out.iterdir() if path.is_dir() and not path.name.startswith("."))
    return run


def repeated(texts: list[str]) -> set[str]:
    return {text for text, count in Counter(texts).items() if count > 1}


def embedding_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "audit.json").read_bytes())["run"]["embedding"]
    return found


def test_nothing_is_sent_twice_within_a_run_nor_by_the_next(tmp_path: Path, server: GeminiServer) -> None:
    path = project(tmp_path, server)
    audit(load_policy(path), tmp_path / "one")
    sent = server.texts
    assert repeated(sent) == set()
    counts = embedding_of(run_of(tmp_path / "one"))
    assert counts["embedder"] == "gemini"
    assert counts["texts_sent"] == counts["embedded"] == len(sent)
    assert counts["characters_sent"] == sum(map(len, sent))
    assert counts["estimated_usd"] == pytest.approx(0.15 * counts["characters_sent"] / 4e6)
    page = (run_of(tmp_path / "one") / "report.html").read_text()
    assert f"sent away in all: {len(sent)} texts" in page
    (before,) = (fact for fact in preflight(load_policy(path), tmp_path).facts["needs"] if "money" in fact)
    estimate = int(re.search(r"for ([\d,]+) characters", before)[1].replace(",", ""))  # type: ignore[index]
    assert counts["characters_sent"] <= estimate
    server.requests.clear()
    audit(load_policy(path), tmp_path / "two")
    assert server.requests == []
    again = embedding_of(run_of(tmp_path / "two"))
    assert (again["embedded"], again["texts_sent"], again["estimated_usd"]) == (0, 0, 0)
    assert again["texts"] == counts["texts"]
    ignored = cache_folder(load_policy(path)).parent / ".gitignore"
    assert ignored.read_text() == "*\n"


def test_without_the_cache_nothing_is_kept(tmp_path: Path, server: GeminiServer) -> None:
    policy = load_policy(project(tmp_path, server, POLICY.replace("scoring:", "scoring:\n  cache: false")))
    for _ in range(2):
        with opened_embedding(policy, b"secret", EventLog(tmp_path / "events"), Silent()) as embedding:
            embedding.embed(["a", "b", "a"])
    assert not (tmp_path / ".auditkit").exists()
    assert server.texts == ["a", "b"] * 2


@pytest.mark.slow
def test_killed_while_embedding_and_resumed_pays_nothing_twice(tmp_path: Path, server: GeminiServer) -> None:
    path = project(tmp_path, server)
    server.delay = 0.3
    command = [sys.executable, "-m", "auditkit", "run", "--no-progress"]
    process = subprocess.Popen(
        [*command, str(path), "--out", str(tmp_path / "out")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(server.requests) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert process.poll() is None, "the run was over before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    server.delay = 0
    before = len(server.requests)
    in_flight = {item["content"]["parts"][0]["text"] for item in server.requests[-1]["body"]["requests"]}
    resume(run_of(tmp_path / "out"), Silent())
    assert len(server.requests) > before
    assert repeated(server.texts) <= in_flight  # answered, perhaps, but nobody was there to hear
    counts = embedding_of(run_of(tmp_path / "out"))
    assert len(server.texts) <= counts["texts_sent"] <= len(server.texts) + 20  # a call is counted before it is made
    assert counts["cached"] >= 5 * 20


def test_a_failing_api_stops_the_run_which_goes_on_where_it_was(tmp_path: Path, server: GeminiServer) -> None:
    path = project(tmp_path, server, POLICY.replace("batch_size: 20", "batch_size: 20, attempts: 1"))
    real = server.answer
    server.answer = lambda body: (_ for _ in ()).throw(OSError) if len(server.requests) > 4 else real(body)  # type: ignore[method-assign]
    with pytest.raises(RunError, match="out of reach"):
        audit(load_policy(path), tmp_path / "out")
    server.answer = real  # type: ignore[method-assign]
    failed = {item["content"]["parts"][0]["text"] for item in server.requests[-1]["body"]["requests"]}
    resume(run_of(tmp_path / "out"), Silent())
    assert repeated(server.texts) == failed


@pytest.mark.parametrize("forbidden", ["sft", "more"])
def test_one_forbidden_dataset_and_nothing_at_all_is_sent(tmp_path: Path, server: GeminiServer, forbidden: str) -> None:
    path = project(tmp_path, server)
    allowed = load_policy(path)
    before, _, after = path.read_text().partition(f"name: {forbidden},")
    path.write_text(before + f"name: {forbidden}," + after.replace("external_processing: allow", "tags: null", 1))
    path.write_text(path.read_text().replace(",\n     tags: null", ""))
    with pytest.raises(PolicyError, match=f"{forbidden}.* forbids"):
        load_policy(path)
    for command in ("run", "check"):
        done = CliRunner().invoke(cli, [command, str(path)])
        assert isinstance(done.exception, PolicyError)
    with pytest.raises(AuditkitError, match=f"{forbidden} forbids"):  # a policy that no loader has seen
        audit(_forbidding(allowed, forbidden), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with (
        pytest.raises(AuditkitError, match=f"{forbidden} forbids"),
        opened_embedding(_forbidding(allowed, forbidden), b"secret", EventLog(tmp_path / "events"), Silent()) as made,
    ):
        made.embed(["a text"])
    assert server.requests == []


def _forbidding(policy: Policy, name: str) -> Policy:
    datasets = [
        section.model_copy(update={"external_processing": "forbid"}) if section.name == name else section
        for section in policy.datasets
    ]
    copy = policy.model_copy(update={"datasets": datasets})
    copy._source = policy._source
    return copy


def test_a_refused_record_is_named_by_its_line_and_the_rest_is_kept(tmp_path: Path, server: GeminiServer) -> None:
    path = project(tmp_path, server)
    server.refused = {question(107), question(131)}
    with pytest.raises(RunError, match=r"more\.jsonl:8, .*more\.jsonl:32: ") as caught:
        audit(load_policy(path), tmp_path / "out")
    assert "Question" not in str(caught.value)
    assert sent_by_the_log(run_of(tmp_path / "out")) >= len(set(server.texts))  # refused ones were sent as well
    refused, server.refused = server.refused, set()
    server.requests.clear()
    resume(run_of(tmp_path / "out"), Silent())
    assert refused <= set(server.texts)
    assert {question(i) for i in range(100, 150)}.intersection(server.texts) == refused


class _Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def _local(path: Path) -> Policy:
    return load_policy(path, overrides=["scoring.embedder={kind: default}"])


@pytest.mark.parametrize("trouble", ["no database", "no folder", "lost on the way"])
def test_a_broken_cache_costs_time_but_never_the_audit_nor_money(
    tmp_path: Path, server: GeminiServer, trouble: str
) -> None:
    path = project(tmp_path, server)
    for policy in (_local(path), load_policy(path)):
        log, told = EventLog(tmp_path / "events"), _Told()
        with opened_embedding(policy, b"secret", log, told) as embedding:
            first = embedding.embed(["a", "b"])
        folder = cache_folder(policy)
        for file in folder.glob("*.sqlite"):
            file.write_bytes(b"what a crashed disk left " * 400)
        if trouble == "no folder":
            for file in folder.glob("*"):
                file.unlink()
            folder.rmdir()
            folder.write_text("in the way")
        if trouble == "lost on the way":
            for file in folder.glob("*.sqlite"):
                file.unlink()
        server.requests.clear()
        if trouble == "no database":
            with _opened(policy, log, told, trouble) as broken:
                assert (broken.embed(["a", "b"]) == first).all()
            assert any("malformed" in note for note in told.notes)
            assert list(folder.glob("*.damaged-*"))
        elif policy.scoring.embedder.external:
            with pytest.raises(RunError, match=r"cannot be (used|made)"), _opened(policy, log, told, trouble) as broken:
                broken.embed(["a", "b"])
            assert server.requests == []
        else:
            with _opened(policy, log, told, trouble) as broken:
                assert (broken.embed(["a", "b"]) == first).all()
                assert (broken.embed(["b"]) == first[1:]).all()
            assert len(told.notes) == 1
            assert "goes on without" in told.notes[0]
        if trouble == "no folder":
            folder.unlink()


def _opened(policy: Policy, log: EventLog, told: _Told, trouble: str) -> Any:
    opened = opened_embedding(policy, b"secret", log, told)
    if trouble != "lost on the way":
        return opened

    class Losing:
        def __enter__(self) -> Any:
            made = opened.__enter__()
            (file,) = cache_folder(policy).glob("*.sqlite")
            with sqlite3.connect(file) as database:
                database.execute("DROP TABLE vectors")
            return made

        def __exit__(self, *error: Any) -> Any:
            return opened.__exit__(*error)

    return Losing()
