"""A disk that runs full in the middle of a run: exit code 4, nothing lost, and the run goes on when there is room."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditkit.auditing.events import EventLog
from auditkit.auditing.run_status import status_of
from auditkit.errors import RunError
from auditkit.signing.event_chain import check_chain
from auditkit.signing.verify import verify
from benchmarks.soak import write_project


def _run(*arguments: str | Path, most: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command, with no file longer than ``most``: the kernel enforces that in mid-write, as a full disk would."""
    limit: Callable[[], None] | None = None
    if most is not None:
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # noqa: E731
    command = [sys.executable, "-m", "auditkit", "run", "--no-progress", "--quiet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=600, check=False)


def _audit(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "audit.json").read_bytes())
    return {name: part for name, part in content.items() if name not in ("run", "earlier_runs")}


def _only_run(out: Path) -> Path:
    (run,) = (path for path in out.iterdir() if path.is_dir())
    return run


@pytest.mark.slow
def test_nothing_is_lost_wherever_the_disk_runs_full(tmp_path: Path) -> None:
    policy = write_project(tmp_path / "project", 1_500, batch_size=10)
    out = tmp_path / "out"
    first = _run(policy, "--out", out, "--set", "report.formats=[json]", most=16_000)  # while sampling
    run = _only_run(out)
    assert first.returncode == 4 and "--resume" in first.stderr and "Traceback" not in first.stderr
    assert status_of(run).state == "failed"
    sampled = len(list(run.glob("work/generations-*.parquet")))
    assert 0 < sampled < 150
    again = _run("--resume", run, most=1_000_000)  # where the vectors are to be written
    assert again.returncode == 4, again.stderr
    assert "the file is larger than this process may write" in again.stderr
    assert (run / "evidence" / "generations-template_prefix.parquet").exists()
    assert _run("--resume", run).returncode in (0, 1, 3)
    whole = tmp_path / "whole"
    assert _run(policy, "--out", whole, "--set", "report.formats=[json]").returncode in (0, 1, 3)
    assert _audit(run) == _audit(_only_run(whole))
    assert not verify(run).problems
    told = [event["first"] for event in EventLog(run / "events.jsonl").recorded("sampled")]
    assert told == sorted(set(told)) and len(told) >= 149  # a part that was kept, and the event that did not fit


def test_a_line_that_does_not_fit_leaves_the_log_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append("started")
    real = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:20]))
        with pytest.raises(RunError, match="the disk is full"):
            log.append("sampled", count=7)
    log.append("closed")  # the same process, when there is room again
    assert [len(log.recorded(name)) for name in ("started", "sampled", "closed")] == [1, 0, 1]
    assert not check_chain(log.path)
