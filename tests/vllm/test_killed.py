"""An audit that is killed while vLLM writes has lost one chunk at most, leaves no engine behind, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.models.tiny import RECORDS

CHUNK, SAMPLES = 40, 400
POLICY = """
version: 1
name: killed
models:
  candidate: {backend: vllm, path: MODEL, dtype: float32, batch_size: 40, kv_cache_gib: 0.25}
datasets:
  - {name: sft, stage: sft, path: sft.jsonl, fields: {prompt: q, response: a}, controls: controls.jsonl}
attacks:
  - {kind: template_prefix, samples: 400, max_new_tokens: 80, seed: 3}
probes: []
scoring: {semantic_threshold: {calibrate_fpr: 0.2}}
gate: [{metric: adjusted_coverage, attack: template_prefix, max: 0.99}]
report: {formats: [json], sign: none}
"""


@pytest.fixture
def policy(tmp_path: Path, tiny_folder: Path) -> Path:
    members = [{"q": question, "a": answer} for question, answer in RECORDS]
    members += [{"q": f"Which of {n} lamps is blue?", "a": f"Number {n}."} for n in range(20)]
    controls = [{"q": f"Where is parcel {n} of the garden shop?", "a": f"In hall {n}."} for n in range(60)]
    for name, rows in (("sft", members), ("controls", controls)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "policy.yaml").write_text(POLICY.replace("MODEL", str(tiny_folder)))
    return tmp_path / "policy.yaml"


def start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "auditkit", "run", "--no-progress", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})


def wait_for(found: object, seconds: float = 1800) -> None:
    """Until a condition (a callable) holds."""
    deadline = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def engines(of: int) -> list[int]:
    """The engine processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == of and b"auditkit.models.vllm_child" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:  # gone meanwhile
            continue
    return found


def test_a_killed_run_loses_one_chunk_at_most_and_goes_on(policy: Path) -> None:
    reports = policy.parent / "reports"
    run = start(str(policy), "--out", str(reports))

    def parts() -> list[Path]:
        return sorted(reports.glob("*/**/generations-*.parquet"))

    wait_for(lambda: len(parts()) >= 3 or run.poll() is not None)
    assert run.poll() is None, run.stderr and run.stderr.read().decode()[-2000:]
    (engine,) = engines(run.pid)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = {path.name: path.read_bytes() for path in parts()}
    assert 3 <= len(kept) < SAMPLES // CHUNK, "killed too late to show anything"
    rows = {name: pq.read_table(path).num_rows for name, path in zip(kept, parts(), strict=True)}
    assert set(rows.values()) == {CHUNK}
    wait_for(lambda: not Path(f"/proc/{engine}").exists(), 120)

    (folder,) = [path for path in reports.iterdir() if path.is_dir()]
    texts = [row for path in parts() for row in pq.read_table(path)["token_ids"].to_pylist()]
    resumed = start("--resume", str(folder))
    assert resumed.wait(1800) in (0, 1, 3), resumed.stderr and resumed.stderr.read().decode()[-2000:]
    (whole,) = folder.glob("evidence/**/generations*template_prefix*.parquet")
    table = pq.read_table(whole)
    assert table["ordinal"].to_pylist() == list(range(SAMPLES))
    assert table["token_ids"].to_pylist()[: len(texts)] == texts  # nothing was written twice
