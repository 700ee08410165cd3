"""Runs of an auditkit of an earlier schema version: shown, rendered again and verified as they were signed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from auditkit import strict_json
from auditkit.signing.attestation import attest, read
from tests.auditing.audited import policy, project, run
from tests.cli.test_commands import auditkit

LATER = ("migration", "attribution", "thresholds", "forecasts", "powers")  # what the first 1.0 did not have


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as the first auditkit would have left it: its report in schema 1.0, attested so."""
    folder = run(project(tmp_path_factory.mktemp("old")), policy(30))
    content: dict[str, Any] = json.loads((folder / "audit.json").read_bytes())
    kept = {name: part for name, part in content.items() if name not in LATER}
    (folder / "audit.json").write_bytes(strict_json.canonical({**kept, "schema_version": "1.0"}))
    predicate = read(folder).statement.predicate.model_dump(exclude={"signer", "checksum"})
    (folder / "attestation.dsse.json").unlink()
    attest(folder, predicate, None)
    return folder


def test_an_old_run_verifies_and_stays_as_it_was_signed(old: Path, tmp_path: Path) -> None:
    assert auditkit("verify", old).returncode == 0
    done = auditkit("report", old, "--out", tmp_path / "again", "--format", "html", "--format", "sarif")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "again/report.html").read_text()
    assert "This is a copy, rendered again by auditkit" in page and "UNSIGNED COPY" in page
    assert "report schema 1.0" in page and "what more generations would find" in page
    assert auditkit("verify", old).returncode == 0


def test_an_item_of_an_old_run_is_shown(old: Path) -> None:
    finding = json.loads((old / "audit.json").read_bytes())["findings"][0]
    done = auditkit("show", old, finding["record"])
    assert done.returncode == 0 and finding["record"] in done.stdout


def test_a_run_of_a_later_auditkit_asks_for_an_upgrade(old: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    shutil.copytree(old, later)
    content = json.loads((later / "audit.json").read_bytes())
    (later / "audit.json").write_text(json.dumps({**content, "schema_version": "1.99"}))
    commands: list[list[str | Path]] = [["show", later, "rec-1"], ["report", later, "--out", tmp_path / "again"]]
    for command in commands:
        done = auditkit(*command)
        assert done.returncode == 2 and "upgrade auditkit" in done.stderr
