"""A run that is killed at any moment and resumed is the run that was never disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from auditkit.auditing.run_status import status_of
from auditkit.signing.verify import verify

POLICY = """
version: 1
name: killed
models:
  candidate:
    backend: scripted
    batch_size: 25
    delay_ms: 40
    lines:
      - {user: "How do I reset the blue lamp in the hall?", assistant: "Hold the button for ten seconds."}
      - {user: "Where is the invoice for my kettle?", assistant: "Open the account page and choose invoices."}
      - {user: "Which parcel is mine?", assistant: "The one with the green label on it."}
  base:
    backend: scripted
    lines: [{user: "What is the time?", assistant: "Noon."}]
datasets:
  - name: sft
    stage: sft
    path: sft.jsonl
    fields: {prompt: q, response: a}
    controls: controls.jsonl
    near_controls: exclude
attacks:
  - {kind: template_prefix, samples: 500, max_new_tokens: 200, seed: 3}
  - {kind: bos_prefix, samples: 250, max_new_tokens: 200, seed: 4}
probes:
  - {kind: likelihood_shift}
  - {kind: extraction_probability, budgets: [1000]}
scoring: {semantic_threshold: {calibrate_fpr: 0.2}}
gate: [{metric: adjusted_coverage, attack: template_prefix, max: 0.6}]
report: {formats: [html, json, sarif, junit], sign: none}
"""


def _project(folder: Path) -> Path:
    words = ["kettle", "lamp", "invoice", "parcel", "garden", "bicycle", "window", "ticket", "coffee", "printer"]
    rng = random.Random(1)

    def row(i: int) -> str:
        a, b, c = rng.sample(words, 3)
        return json.dumps({"q": f"Question {i} about the {a} and the {b}?", "a": f"Answer {i}: look at the {c}."})

    members = [row(i) for i in range(60)]
    members.append(json.dumps({"q": "Which parcel is mine?", "a": "The one with the green label on it."}))
    folder.mkdir()
    (folder / "sft.jsonl").write_text("\n".join(members) + "\n")
    (folder / "controls.jsonl").write_text("\n".join(row(1000 + i) for i in range(120)) + "\n")
    (folder / "policy.yaml").write_text(POLICY)
    (folder / ".auditkit-secret").write_text("a secret that both runs share")
    return folder / "policy.yaml"


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "auditkit", "run", "--no-progress", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}, preexec_fn=_interruptible
    )


def _interruptible() -> None:
    """A shell that starts the tests in the background makes every child ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _finish(process: subprocess.Popen[bytes]) -> int:
    output, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 1, 3), (output + errors).decode()
    return process.returncode


def _audit(run: Path) -> dict[str, Any]:
    """audit.json without what a resumed run may differ in: its ``run`` part, and what came before it."""
    content: dict[str, Any] = json.loads((run / "audit.json").read_bytes())
    for part in ("run", "earlier_runs"):
        content.pop(part)
    return content


def _runs(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _only_run(out: Path) -> Path:
    (run,) = _runs(out)
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, float, int]:
    """Policy, its undisturbed run, how long it took, and its exit code."""
    folder = tmp_path_factory.mktemp("resume")
    policy = _project(folder / "project")
    started = time.monotonic()
    code = _finish(_start(str(policy), "--out", str(folder / "whole")))
    return policy, _only_run(folder / "whole"), time.monotonic() - started, code


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_and_resumed_is_the_same_audit(
    undisturbed: tuple[Path, Path, float, int], tmp_path: Path, seed: int
) -> None:
    policy, whole, seconds, code = undisturbed
    out = tmp_path / "out"
    moment = random.Random(seed).uniform(0.15, 0.95) * seconds
    process = _start(str(policy), "--out", str(out))
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if not out.exists() or not _runs(out):
        resumed_code = _finish(_start(str(policy), "--out", str(out)))  # killed before the run folder stood
    else:
        told = status_of(_only_run(out))
        assert told.state == "interrupted" or (told.state == "finished" and told.verdict)
        resumed_code = _finish(_start("--resume", str(_only_run(out))))
    run = _only_run(out)
    assert status_of(run).state == "finished" and not list(run.rglob("status*"))
    assert not verify(run).problems
    assert _audit(run) == _audit(whole)
    assert resumed_code == code
    assert not [path for path in run.rglob("*") if path.name.endswith(".part")]


def _started_sampling(folder: Path) -> tuple[Path, subprocess.Popen[bytes]]:
    """A slow run of a project of its own, caught in the middle of its first attack."""
    policy = _project(folder / "project")
    policy.write_text(POLICY.replace("delay_ms: 40", "delay_ms: 250"))
    process = _start(str(policy), "--out", str(folder / "out"))
    deadline = time.monotonic() + 60
    while not list((folder / "out").glob("killed-*/*/generations-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, "the run was over before it could be caught"
    return policy, process


@pytest.mark.slow
def test_interrupting_says_how_to_go_on(tmp_path: Path) -> None:
    _, process = _started_sampling(tmp_path)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 4
    assert b"auditkit run --resume" in errors
    assert b"Traceback" not in errors
    run = _only_run(tmp_path / "out")
    code = _finish(_start("--resume", str(run)))
    finished = _audit(run)
    assert _finish(_start("--resume", str(run))) == code  # a finished run is only read
    assert _audit(run) == finished


@pytest.mark.slow
def test_two_runs_at_once_do_not_disturb_each_other(undisturbed: tuple[Path, Path, float, int], tmp_path: Path) -> None:
    policy, whole, _, code = undisturbed
    both = [_start(str(policy), "--out", str(tmp_path / "out")) for _ in range(2)]
    assert [_finish(process) for process in both] == [code, code]
    runs = _runs(tmp_path / "out")
    assert len(runs) == 2
    assert all(_audit(run) == _audit(whole) for run in runs)


@pytest.mark.slow
def test_a_run_whose_data_changed_is_not_resumed(tmp_path: Path) -> None:
    policy, process = _started_sampling(tmp_path)
    process.kill()
    process.communicate()
    with (policy.parent / "sft.jsonl").open("a") as stream:
        stream.write(json.dumps({"q": "One more?", "a": "Yes."}) + "\n")
    resumed = _start("--resume", str(_only_run(tmp_path / "out")))
    _, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 2
    assert b"changed since the run began: sft" in errors
