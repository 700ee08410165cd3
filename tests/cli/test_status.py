"""``auditkit status``: what another shell is told of a run that works, ended, was killed, or lies."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from auditkit import load_policy
from auditkit.auditing import runner
from auditkit.auditing.progress import Both, Silent
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.run_status import status_of
from auditkit.auditing.status_file import MOST_BYTES, StatusFile, read_status, telling
from auditkit.cli.main import cli
from auditkit.errors import AuditkitError, RunError
from tests.auditing.parts import kept_parts
from tests.auditing.small_project import policy_data, write_project


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["status", *map(str, arguments)], catch_exceptions=False)


def found(run: Path) -> dict[str, Any]:
    done = call(run, "--json")
    assert done.exit_code == 0
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run as it stands in the middle."""
    folder = RunFolder(tmp_path / "reports" / "bot-20261122T101500Z-1a2b3c4d")
    folder.work.mkdir(parents=True)
    folder.lock_file.write_text("")
    return folder


@contextmanager
def working(run: RunFolder) -> Iterator[StatusFile]:
    with run.exclusive(), telling(run, resumed=False) as status:
        assert isinstance(status, StatusFile)
        yield status


def test_a_run_that_works_says_how_far_it_is(run: RunFolder) -> None:
    with working(run) as status, status.stage("attack template_prefix", 20_000, "generations", 500) as stage:
        stage.advance(524, 10_000)
        time.sleep(0.2)
        status.write()
        told = found(run.path)
        assert told["state"] == "running" and told["pid"] == os.getpid()
        assert (told["stage"]["done"], told["stage"]["total"]) == (1_024, 20_000)
        assert told["stage"]["rate"].endswith("tokens/s") and told["stage"]["seconds_left"] >= 0
        shown = call(run.path).stdout
    assert "running" in shown and "attack template_prefix" in shown
    assert "1,024 of 20,000 generations" in shown and "left in this stage" in shown and "--resume" not in shown


def test_its_file_is_its_owners_alone_and_small(run: RunFolder) -> None:
    with working(run) as status, status.stage("x" * 10_000, 3, "generations"):
        assert run.status_file.stat().st_mode & 0o777 == 0o600
        assert run.status_file.stat().st_size < 2_000
    assert [path.name for path in run.work.iterdir()] == ["status.json"]


def test_it_is_written_once_a_second_at_most(run: RunFolder) -> None:
    status = StatusFile(run, resumed=False, every=3600)
    with status.stage("attack", 100, "generations") as stage:
        for _ in range(100):
            stage.advance(1)
    told = read_status(run.status_file)
    assert told and told.stage and told.stage.done == 0


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt, "interrupted"), (ValueError, "failed"), (AuditkitError, "failed")]
)
def test_a_run_that_ended_says_where_and_how_to_go_on(run: RunFolder, error: type[BaseException], state: str) -> None:
    with pytest.raises(error), working(run) as status, status.stage("embed", 9, "texts"), status.stage("inner", 4, "x"):
        raise error("no")
    told = found(run.path)
    assert told["state"] == state and told["stage"]["name"] == "inner"
    assert told["next"] == f"auditkit run --resume {run.path}"
    assert call(run.path).stdout.count("--resume") == 1


def test_an_arm_that_failed_is_not_where_the_run_is(run: RunFolder) -> None:
    with working(run) as status:
        with pytest.raises(ValueError), status.stage("arm 1 of 2: x: make it", 1, "step"):
            raise ValueError
        with status.stage("arm 2 of 2: y", 5, "steps"):
            status.write()
            assert found(run.path)["stage"]["name"] == "arm 2 of 2: y"


def test_a_full_disk_does_not_stop_the_run_on_its_account(run: RunFolder) -> None:
    shutil.rmtree(run.work)
    with working(run) as status, status.stage("attack", 3, "generations") as stage:
        stage.advance(3)
    assert not run.work.exists()


def _written(run: RunFolder, **changes: Any) -> None:
    with telling(run, resumed=False):
        pass
    run.status_file.write_text(json.dumps({**json.loads(run.status_file.read_bytes()), **changes}))


def test_a_killed_run_is_interrupted(run: RunFolder) -> None:
    _written(run)
    told = found(run.path)
    assert told["state"] == "interrupted" and "killed" in told["detail"]


def test_of_another_host_nothing_is_claimed(run: RunFolder) -> None:
    _written(run, host="elsewhere.example")
    told = found(run.path)
    assert told["state"] == "unknown" and "elsewhere.example" in told["detail"]
    with run.exclusive():
        assert found(run.path)["state"] == "running"  # a lock that is seen is there, whatever the host is called


def test_asking_does_not_stand_in_the_way_of_a_run(run: RunFolder) -> None:
    descriptor = os.open(run.path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # somebody asks at this moment
    release = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.1)"], pass_fds=(descriptor,))
    os.close(descriptor)
    with run.exclusive():
        assert run.held
    release.wait()


HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[" * 100_000,
    b'{"format": 1}',
    b"\xff\xfe",
    b'{"a": 1, "a": 2}',
    b" " * (MOST_BYTES + 1),
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_file_that_no_run_wrote_says_nothing(run: RunFolder, content: bytes) -> None:
    run.status_file.write_bytes(content)
    assert read_status(run.status_file) is None
    assert found(run.path)["state"] == "interrupted"


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": -1},
        {"pid": True},
        {"format": 2},
        {"started": "\x1b[2J"},
        {"updated": "2026-99-99T00:00:00Z"},
        {"ended": "finished"},
        {"stage": {"name": "x"}},
        {"host": "h" * 400},
        {"stages": 10**400},
        {"extra": 1},
    ],
    ids=str,
)
def test_nor_does_one_with_odd_values(run: RunFolder, changes: dict[str, Any]) -> None:
    _written(run, **changes)
    assert found(run.path)["state"] == "interrupted"


def test_names_that_would_act_on_a_terminal_do_not(run: RunFolder) -> None:
    stage = {"name": "\x1b[2Jevil\r\n", "unit": "\x07", "total": 0, "done": 9, "before": 10, "tokens": 0}
    _written(run, host=socket.gethostname(), stage={**stage, "seconds": 0.0, "started": "2026-11-22T10:15:00Z"})
    shown = call(run.path).stdout
    assert "evil" in shown and not {"\x1b", "\x07", "\r"} & set(shown)


def test_a_pipe_in_its_place_is_not_waited_for(run: RunFolder) -> None:
    os.mkfifo(run.status_file)
    assert found(run.path)["state"] == "interrupted"


def test_a_finished_run_has_its_verdict_and_no_status_file(tmp_path: Path) -> None:
    from auditkit.auditing import runner
    from auditkit.policy.load import load_policy
    from auditkit.signing.verify import verify

    policy = write_project(tmp_path / "project", policy_data())
    result = runner.start(load_policy(policy), tmp_path / "reports", Both(Silent(), Silent()))
    told = found(result.folder)
    assert told["state"] == "finished" and told["verdict"] == "fail" and "verify" in told["next"]
    assert not list(result.folder.rglob("status*"))
    assert not verify(result.folder).problems
    (listed,) = json.loads(call(tmp_path / "reports", "--json").stdout)
    assert listed == {**told}
    assert "finished, verdict: fail" in call(tmp_path / "reports").stdout


def test_a_folder_of_runs_is_listed(run: RunFolder) -> None:
    (run.path.parent / "ledger.jsonl").write_text("")
    (run.path.parent / "notes").mkdir()
    with working(run) as status, status.stage("attack", 3, "generations"):
        shown = call(run.path.parent).stdout
    assert shown == f"{run.id}  running  attack: 0 of 3 generations\n"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(AuditkitError):
            call(path, *(["--watch"] if path.exists() else []))
    assert "no run in" in call(tmp_path).stdout


def test_watching_ends_with_the_run(run: RunFolder) -> None:
    _written(run)
    assert call(run.path, "--watch").stdout.count(run.id) == 2  # its name, and how to go on


def test_a_run_that_reads_its_data_again_to_go_on_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For large data that takes minutes."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    seen: list[tuple[str, str, bool]] = []

    class Asking(Silent):
        @contextmanager
        def stage(self, name: str, *_: object, **__: object) -> Iterator[Any]:
            yield SimpleNamespace(advance=self.ask)

        def ask(self, *_: int) -> None:
            told = status_of(begun)
            seen.append((told.state, told.stage.name if told.stage else "", told.resumed))

    policy = load_policy(write_project(tmp_path / "project", policy_data()))
    with monkeypatch.context() as patched, pytest.raises(RunError):
        patched.setattr(runner, "generate", interrupt)
        runner.start(policy, tmp_path / "out", Silent())
    [begun] = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert found(begun)["state"] == "interrupted"
    with monkeypatch.context() as patched, pytest.raises(RunError):
        patched.setattr(runner, "generate", interrupt)
        runner.resume(begun, Asking())
    assert ("running", "read sft and its controls", True) in seen
    assert ("running", "read models", True) in seen
    assert found(begun)["state"] == "interrupted"


@pytest.mark.slow
def test_killed_in_the_middle_and_gone_on_with(tmp_path: Path) -> None:
    data = policy_data()
    data["models"]["candidate"] |= {"batch_size": 10, "delay_ms": 100}
    policy = write_project(tmp_path / "project", data)
    command = [sys.executable, "-m", "auditkit", "run", "--no-progress"]
    process = subprocess.Popen(
        [*command, str(policy), "--out", str(tmp_path / "out")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (caught := kept_parts(tmp_path / "out")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run = caught[0].parents[1]
    told = found(run)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert told["state"] == "running" and told["pid"] == process.pid
    assert told["stage"]["name"] == "attack template_prefix" and told["stage"]["total"] == 100
    assert found(run)["state"] == "interrupted"
    done = subprocess.run([*command, "--resume", str(run)], capture_output=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr.decode()
    assert found(run)["verdict"] == "fail"
    assert yaml.safe_load(policy.read_text())["name"] in found(run)["run"]
