"""``auditkit register`` and ``auditkit purge`` as typed, and what run, verify, show and report then say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auditkit.cli.main import cli
from auditkit.errors import AuditkitError
from auditkit.signing.keygen import KeyFiles, generate
from tests.auditing.small_project import policy_data, write_project
from tests.signing.tsa import local_tsa


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, key_files: KeyFiles) -> Path:
    """The finished run of a registered policy."""
    folder = tmp_path_factory.mktemp("registered")
    data = policy_data(key_files, formats=["json", "html"], retention={"days": 0})
    with pytest.MonkeyPatch.context() as patch, local_tsa() as authority:
        patch.setenv("TEST_KEY", str(key_files.private))
        data["report"]["sign"]["timestamp"] = authority.url
        policy = write_project(folder / "project", data)
        done = call("register", policy, "--reports", folder / "reports")
        assert done.exit_code == 0, done.stderr
        assert "rule       string_memorisation_rate of * on * (record view) at most 0.05" in done.stdout
        assert "earlier    runs of the same model and data: 0" in done.stdout
        assert "auditkit test TSA" in done.stdout
        done = call("run", policy, "--out", folder / "reports")
        assert done.exit_code == 1
        assert "The policy was registered on" in done.stdout
        assert "and was run as" in " ".join(done.stdout.split())
    (run,) = (path for path in (folder / "reports").iterdir() if path.is_dir())
    return run


@pytest.fixture
def run(registered: Path, tmp_path: Path, key_files: KeyFiles, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, to be purged."""
    monkeypatch.setenv("TEST_KEY", str(key_files.private))
    return Path(shutil.copytree(registered, tmp_path / registered.name))


def call(*arguments: str | Path, answer: str = "") -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=answer)


def refused(*arguments: str | Path) -> str:
    """The error that a command ends with."""
    error = call(*arguments).exception
    assert isinstance(error, AuditkitError)
    return str(error)


def test_the_report_answers_on_page_one_and_in_its_own_section(registered: Path) -> None:
    for name in ("report.html", "report.redacted.html"):
        page = (registered / name).read_text()
        first, _, rest = page.partition('id="opinion"')[2].partition("</header>")
        assert "Audited by release@example.com with auditkit" in first
        assert '<a href="#limits">what this audit does not show</a>' in first
        assert "The policy was registered on" in first
        assert 'id="history"' in rest and "Was the bar set before the result?" in rest
        assert "auditkit test TSA" in rest
        assert "cannot exclude runs made elsewhere" in rest


def test_verify_tells_of_the_registration(registered: Path, key_files: KeyFiles) -> None:
    done = call("verify", registered, "--key", key_files.public)
    assert done.exit_code == 0
    assert "note: the policy was registered before the run: " in done.stdout
    assert "auditkit test TSA" in done.stdout


def test_a_registration_as_json(tmp_path: Path, key_files: KeyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", str(key_files.private))
    policy = write_project(tmp_path / "project", policy_data(key_files))
    done = call("register", policy, "--json", "--reports", tmp_path / "none")
    found = json.loads(done.stdout)
    assert found["registration"]["gate"][0]["limit"] == 0.05
    assert found["registration"]["earlier_runs"] == 0
    assert found["timestamp"] is None
    assert Path(found["file"]).stat().st_mode & 0o777 == 0o600
    assert "--again" in refused("register", policy)
    assert call("register", policy, "--again").exit_code == 0


def test_a_purge_asks_and_is_not_done_unasked(run: Path) -> None:
    assert "--yes" in refused("purge", run)
    assert (run / "audit.json").exists()


def test_a_purge_says_what_it_did_and_what_it_cannot_do(run: Path, key_files: KeyFiles) -> None:
    done = call("purge", run, "--yes")
    assert done.exit_code == 0
    assert "files purged; the statement is purge.dsse.json" in done.stdout
    assert "unlinked, not overwritten" in done.stderr
    done = call("verify", run, "--key", key_files.public)
    assert done.exit_code == 0
    assert "note: purged" in done.stdout
    found = json.loads(call("verify", run, "--json").stdout)
    assert "audit.json" in found["purged"]
    again = call("purge", run, "--yes", "--json")
    assert json.loads(again.stdout)["purged"] == []
    assert "nothing is left to purge" in again.stderr
    again = call("purge", run, "--yes")
    assert "was purged before; the statement is purge.dsse.json" in again.stdout and "0 files" not in again.stdout
    assert "unlinked" not in again.stderr


def test_what_the_other_commands_can_do_with_a_purged_run(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "audit.json").read_bytes())["findings"][0]["record"]
    call("purge", run, "--yes")
    assert "its texts are gone" in refused("show", run, record)
    assert refused("show", run, record, "--prove").startswith("the run was purged")
    done = call("report", run, "--out", tmp_path / "again")
    assert done.exit_code == 0
    assert [Path(line).name for line in done.stdout.split()] == ["report.redacted.html"]
    assert "kettle" not in (tmp_path / "again" / "report.redacted.html").read_text()
    assert call("run", "--resume", run).exit_code == 1  # its verdict is still told


def test_a_leaked_record_is_shown_by_its_place_and_a_slip_has_a_nearest_name(registered: Path) -> None:
    finding = json.loads((registered / "audit.json").read_bytes())["findings"][0]
    place = f"{finding['file']}:{finding['line']}"
    assert call("show", registered, place).stdout.startswith(f"{finding['record']} of {finding['dataset']} ({place})")
    wrong = finding["record"][:-1] + ("0" if finding["record"][-1] != "0" else "1")
    assert f"did you mean {finding['record']}?" in refused("show", registered, wrong)
    name, dot, kind = finding["file"].rpartition(".")
    assert f"did you mean {place}?" in refused("show", registered, f"{name}s{dot}{kind}:{finding['line']}")
    assert "did you mean" not in refused("show", registered, f"{finding['file']}:999999")


def test_a_result_alone_is_told_what_belongs_to_it(registered: Path, tmp_path: Path) -> None:
    alone, out = tmp_path / "alone", tmp_path / "out"
    alone.mkdir()
    shutil.copy(registered / "audit.json", alone / "audit.json")
    for item in (alone, alone / "audit.json"):
        told = refused("report", item, "--out", out)
        assert "policy.lock.yaml and attestation.dsse.json beside it" in told
    shutil.copy(registered / "policy.lock.yaml", alone / "policy.lock.yaml")
    assert "bring attestation.dsse.json too" in refused("report", alone, "--out", out)


def test_a_closing_screen_that_is_piped_has_no_spaces_at_its_ends(registered: Path) -> None:
    lines = call("run", "--resume", registered).stdout.splitlines()
    assert len(lines) > 5 and [line for line in lines if line != line.rstrip()] == []


def test_the_plan_is_told_before_anything_is_asked(run: Path) -> None:
    done = call("purge", run)
    assert "These go:" in done.stderr and "evidence/" in done.stderr and "audit.json" in done.stderr
    stays = done.stderr.partition("These stay:")[2]
    assert "audit.redacted.json" in stays and "registration.dsse.json" in stays
