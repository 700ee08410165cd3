"""Whole audits on a real Ray cluster of three nodes: the report of the local engine, whatever happens to the nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from auditkit import audit, load_policy
from auditkit.errors import AuditkitError
from auditkit.models.scripted import ScriptedBackend
from auditkit.report.json_format import load
from auditkit.scoring.embedders.wordllama_embedder import DefaultEmbedder
from tests.auditing.parts import kept_parts

from ..models.tiny import reciting_model, save
from .clusters import Nodes, disturbed, freeze_one, kill_one
from .runs import GENERATION, QUESTIONS, SAMPLES, assert_same, folder_of, ordinals, project, ray, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that all others must be the same as."""
    return run(project(tmp_path_factory.mktemp("local") / "project", {"kind": "local"}))


def _parts(folder: Path) -> int:
    return len(kept_parts(folder / "reports"))


def test_every_stage_elsewhere_gives_the_same_report(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DefaultEmbedder, "texts_a_call", 64)
    local = run(project(tmp_path / "local", {"kind": "local"}, **QUESTIONS))

    def refuse(*_: object) -> None:
        raise AssertionError("the driver loads no weights to generate")

    monkeypatch.setattr(ScriptedBackend, "open", refuse)
    made = run(project(tmp_path / "project", ray(nodes.address), **QUESTIONS))
    assert_same(local, made)
    [engine] = json.loads((made / "audit.json").read_bytes())["provenance"]["engines"]
    assert engine["kind"] == "ray"
    assert engine["embed"] == engine["score"] == "workers"
    said = [path for path in nodes.logs.rglob("*") if path.is_file() and b"kettle" in path.read_bytes()]
    assert not said, "a text of the data stands in Ray's logs"


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(kill_one, id="a worker is killed"),
        pytest.param(Nodes.lose_one, id="a node is lost"),
        pytest.param(partial(freeze_one, seconds=8), id="a node is slow"),
    ],
)
def test_nothing_is_lost_or_done_twice(
    nodes: Nodes, local: Path, tmp_path: Path, disturb: Callable[[Nodes], None]
) -> None:
    nodes.mend()
    policy = project(tmp_path / "project", ray(nodes.address, **GENERATION), delay_ms=300)
    with disturbed(lambda: _parts(policy.parent) >= 3 and bool(nodes.workers()), lambda: disturb(nodes)) as done:
        made = run(policy)
    assert done, "nothing befell the cluster while it sampled"
    assert ordinals(made) == list(range(SAMPLES))
    assert_same(local, made)


def test_a_killed_driver_goes_on_with_another_engine(nodes: Nodes, local: Path, tmp_path: Path) -> None:
    nodes.mend()
    policy = project(tmp_path / "project", ray(nodes.address, **GENERATION), delay_ms=300)
    command = [sys.executable, "-m", "auditkit", "run", "--no-progress"]
    running = subprocess.Popen([*command, str(policy), "--out", str(policy.parent / "reports")], env={**os.environ})
    while _parts(policy.parent) < 3:
        assert running.poll() is None, "it ended before it was killed"
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    folder = folder_of(policy)
    done = subprocess.run([*command, "--resume", str(folder), "--engine", "local"], env={**os.environ}, check=False)
    assert done.returncode == load(local / "audit.json").verdict.exit_code
    assert_same(local, folder)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]
    first = [event["first"] for event in events if event["event"] == "sampled"]
    assert len(first) == len(set(first)), "a part that was there was asked for again"


def test_a_real_model_with_a_probe_and_an_arm_gives_the_same_report(nodes: Nodes, tmp_path: Path) -> None:
    """The driver reads for the probe; workers sample the candidate, and the weights of the arm."""
    nodes.mend()
    tiny, other = (save(tmp_path / name, *reciting_model()) for name in ("tiny", "other"))
    weights = {name: value * 0.9 for name, value in load_file(other / "model.safetensors").items()}
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    candidate = {"backend": "transformers", "path": str(tiny), "batch_size": 8, "dtype": "float32"}
    attacks = [{"kind": "template_prefix", "samples": 40, "max_new_tokens": 24, "seed": 1}]
    changes: dict[str, Any] = {"models": {"candidate": candidate}, "attacks": attacks, "probes": [{"kind": "min_k"}]}
    changes["mitigations"] = [{"kind": "checkpoint", "path": str(other), "described": "Smaller numbers."}]
    changes |= {"utility": {"records": 10, "max_new_tokens": 16}, **QUESTIONS}
    local = run(project(tmp_path / "local", {"kind": "local"}, **changes))
    made = run(project(tmp_path / "project", ray(nodes.address, **GENERATION), **changes))
    assert_same(local, made)
    report = load(made / "audit.json")
    assert len(report.arms) == 2 and report.probes
    events = map(json.loads, (made / "events.jsonl").read_bytes().splitlines())
    assert [event["kind"] for event in events if event["event"] == "arm_made"] == ["checkpoint"]


def test_an_unknown_cluster_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    policy = project(tmp_path / "project", ray("127.0.0.1:1"))
    with pytest.raises(AuditkitError, match=r"no Ray cluster answers at 127\.0\.0\.1:1") as caught:
        audit(load_policy(policy), tmp_path / "reports")
    assert "ray start --head" in caught.value.hint
    assert not (tmp_path / "reports").exists()
