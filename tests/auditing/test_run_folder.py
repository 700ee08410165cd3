"""The run folder: appears whole, is its owner's alone, and is one process' at a time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auditkit.auditing import run_folder
from auditkit.errors import AuditkitError, RunError


def test_a_new_folder_is_named_by_policy_time_and_chance(tmp_path: Path) -> None:
    run = run_folder.create(tmp_path, "bot-1.2", {"policy.lock.yaml": b"x"})
    assert re.fullmatch(r"bot-1\.2-\d{8}T\d{6}Z-[0-9a-f]{8}", run.id)
    assert run.lock_file.read_bytes() == b"x"
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert run.evidence.stat().st_mode & 0o777 == 0o700


def test_two_runs_in_the_same_second_do_not_meet(tmp_path: Path) -> None:
    runs = {run_folder.create(tmp_path, "bot", {"policy.lock.yaml": b""}).id for _ in range(20)}
    assert len(runs) == 20


def test_a_run_is_one_process_at_a_time(tmp_path: Path) -> None:
    run = run_folder.create(tmp_path, "bot", {"policy.lock.yaml": b""})
    with run.exclusive(), pytest.raises(RunError, match="another process"), run.exclusive():
        pass
    with run.exclusive():
        pass


def test_any_other_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditkitError, match="not a run folder"):
        run_folder.existing(tmp_path)
