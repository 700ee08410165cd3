"""``auditkit keygen`` as typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from auditkit.cli.keygen import keygen
from auditkit.errors import SigningError
from auditkit.signing.keys import load_signing_keys


def test_it_makes_keys_that_sign(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        keygen, [str(tmp_path / "keys"), "--subject", "Example AI", "--label", "DEMO", "--days", "30"]
    )
    assert done.exit_code == 0
    keys = load_signing_keys(str(tmp_path / "keys" / "auditkit.key"), tmp_path / "keys" / "certificate.pem")
    assert keys.subject == "OU=DEMO,CN=Example AI DEMO"
    assert (keys.certificate.not_valid_after_utc - keys.certificate.not_valid_before_utc).days == 30


def test_files_on_stdout_advice_on_stderr_the_secret_on_neither(tmp_path: Path) -> None:
    done = CliRunner().invoke(keygen, [str(tmp_path)])
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        str(tmp_path / name) for name in ("auditkit.key", "auditkit.pub", "certificate.pem")
    ]
    assert f"AUDITKIT_KEY={tmp_path}/auditkit.key" in done.stderr
    assert "one of two purposes, of two different people" in done.stderr
    secret = (tmp_path / "auditkit.key").read_text().splitlines()[1]
    assert secret not in done.output


def test_the_folder_is_here_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(keygen).exit_code == 0
    assert (tmp_path / "auditkit.key").exists()


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    assert CliRunner().invoke(keygen, [str(tmp_path)]).exit_code == 0
    before = (tmp_path / "auditkit.key").read_bytes()
    again = CliRunner().invoke(keygen, [str(tmp_path)])
    assert isinstance(again.exception, SigningError)
    assert again.exception.exit_code == 2
    assert (tmp_path / "auditkit.key").read_bytes() == before


@pytest.mark.parametrize("arguments", [["--days", "0"], ["--days", "many"], ["--nonsense"], ["a", "b"]])
def test_wrong_usage_is_exit_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(keygen, arguments).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_help_shows_an_example() -> None:
    assert "auditkit keygen ~/.config/auditkit" in CliRunner().invoke(keygen, ["--help"]).stdout
