"""``auditkit diff`` as a user types it."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from tests.auditing.audited import policy, project, run
from tests.cli.test_commands import auditkit


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = project(tmp_path_factory.mktemp("bot"))
    return run(folder, policy(20)), run(folder, policy(60))


def test_the_exit_code_is_whether_leakage_rose(runs: tuple[Path, Path]) -> None:
    before, after = runs
    risen = auditkit("diff", before, after, COLUMNS="80")
    assert risen.returncode == 1 and risen.stderr == ""
    assert "LEAKAGE ROSE  bot-20 → bot-60" in risen.stdout
    assert max(map(len, risen.stdout.splitlines())) <= 80
    assert auditkit("diff", after, before).returncode == 0
    itself = auditkit("diff", after, after)
    assert itself.returncode == 0 and "LEAKAGE DID NOT RISE" in itself.stdout
    assert "note: both are the same run" in itself.stderr


def test_json_is_all_of_it_on_stdout(runs: tuple[Path, Path]) -> None:
    done = auditkit("diff", *runs, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and done.stdout.isascii()
    assert found["outcome"] == "rose" and len(found["gate"]) == 3 and found["comparisons"] == 3
    assert found["gate"][1]["pairing"] == "paired" and found["gate"][0]["pairing"] == "independent"


def test_files_are_the_owners_and_stand_outside_the_runs(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "diff"
    formats = [word for kind in ("html", "markdown", "json") for word in ("--format", kind)]
    done = auditkit("diff", *runs, "--out", out, *formats, "--json")
    assert done.returncode == 1
    assert sorted(path.name for path in out.iterdir()) == ["diff.html", "diff.json", "diff.md"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert json.loads((out / "diff.json").read_text()) == json.loads(done.stdout)
    assert str(out / "diff.html") in done.stderr  # data alone on stdout
    inside = auditkit("diff", *runs, "--out", runs[0] / "more")
    assert inside.returncode == 2 and "inside a run folder" in inside.stderr and not (runs[0] / "more").exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--format", "html"], "--out"),
        (["--alpha", "0"], "alpha"),
        (["--alpha", "nan"], "alpha"),
        (["--key", "nowhere.pub"], "nowhere.pub"),
    ],
)
def test_wrong_arguments_are_exit_2(runs: tuple[Path, Path], extra: list[str], said: str) -> None:
    done = auditkit("diff", *runs, *extra)
    assert done.returncode == 2 and said in done.stderr and done.stdout == ""


def test_a_folder_that_is_no_run_is_exit_2(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = auditkit("diff", runs[0], tmp_path)
    assert done.returncode == 2 and "not a run folder" in done.stderr


def test_a_broken_run_needs_unverified(runs: tuple[Path, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(runs[1], broken)
    with (broken / "events.jsonl").open("ab") as stream:
        stream.write(b"{}\n")
    refused = auditkit("diff", runs[0], broken)
    assert refused.returncode == 2 and "--unverified" in refused.stderr
    taken = auditkit("diff", runs[0], broken, "--unverified")
    assert taken.returncode == 1 and "NOT VERIFIED" in taken.stdout


def test_a_key_that_did_not_sign_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    made = auditkit("keygen", tmp_path / "keys")
    if made.returncode:
        made = auditkit("keygen", "--out", tmp_path / "keys")
    assert made.returncode == 0, made.stderr
    (key,) = (tmp_path / "keys").glob("*.pub")
    done = auditkit("diff", *runs, "--key", key)
    assert done.returncode == 2 and "UNSIGNED" in done.stderr


def test_nothing_of_a_comparison_touches_the_runs(runs: tuple[Path, Path]) -> None:
    def state() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for one in runs for path in one.rglob("*"))

    before = state()
    auditkit("diff", *runs)
    assert state() == before


def test_help_has_examples_and_exit_codes() -> None:
    done = auditkit("diff", "--help")
    assert done.returncode == 0 and "Examples:" in done.stdout and "1 leakage rose" in done.stdout
