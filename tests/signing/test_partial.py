"""A copy of a run without the files that hold texts is told apart from one that was damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from auditkit.cli.verify import verify as command
from auditkit.signing.attestation import attest
from auditkit.signing.keygen import KeyFiles
from auditkit.signing.keys import SigningKeys
from auditkit.signing.verify import Verification, verify
from auditkit.strict_json import canonical
from tests.signing.sample_run import audit_result, predicate

KEPT = ("attestation.dsse.json", "audit.redacted.json", "report.redacted.pdf")


@pytest.fixture
def whole(run: Path, keys: SigningKeys) -> Path:
    """A run with a redacted result, as every run has one."""
    (run / "audit.redacted.json").write_bytes(canonical(audit_result(True)))
    attest(run, predicate((run / "policy.lock.yaml").read_bytes()), keys)
    return run


@pytest.fixture
def copy_of(whole: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies some of the files."""

    def copy(*names: str) -> Path:
        (tmp_path / "copy").mkdir()
        for name in names:
            shutil.copy(whole / name, tmp_path / "copy" / name)
        return tmp_path / "copy"

    return copy


def told(found: Verification) -> str:
    return "\n".join([found.integrity, *found.problems, *found.notes])


def test_a_copy_without_texts_says_what_it_is_in_one_line(copy_of: Callable[..., Path], key_files: KeyFiles) -> None:
    copy = copy_of(*KEPT)
    found = verify(copy, key_files.public)
    assert not found.ok and found.intact and len(found.problems) == 1
    assert found.integrity.startswith("PARTIAL COPY: what is here is intact and attested, signed by Ed25519 key")
    for words in ("evidence (1 file)", "(audit.json, report.html, report.pdf)", "(events.jsonl, policy.lock.yaml)"):
        assert words in found.problems[0]
    assert "evidence/generations-template_prefix.parquet" in found.absent
    done = CliRunner().invoke(command, [str(copy)])
    assert done.exit_code == 1 and "but 6 of the 8 attested files are not here" in done.stdout
    assert "do not rely on it" not in done.stdout


def test_it_is_accepted_where_somebody_says_that_it_is_one(copy_of: Callable[..., Path], key_files: KeyFiles) -> None:
    copy = copy_of(*KEPT)
    found = verify(copy, key_files.public, partial=True)
    assert found.ok and "PARTIAL COPY" in found.integrity and "6 of the 8 attested files are not here" in told(found)
    done = CliRunner().invoke(command, [str(copy), "--key", str(key_files.public), "--partial"])
    assert done.exit_code == 0, done.stdout


def test_what_is_there_must_hold_all_the_same(copy_of: Callable[..., Path], other_files: KeyFiles) -> None:
    copy = copy_of(*KEPT)
    assert "another signer" in told(verify(copy, other_files.public, partial=True))
    (copy / "report.redacted.pdf").write_bytes(b"another")
    (copy / "extra").write_bytes(b"")
    found = verify(copy, partial=True)
    assert not found.intact
    assert "report.redacted.pdf was changed" in told(found) and "extra is an extra file" in told(found)


@pytest.mark.parametrize("left_out", KEPT[1:])
def test_a_copy_holds_every_redacted_file(copy_of: Callable[..., Path], left_out: str) -> None:
    copy = copy_of(*(name for name in KEPT if name != left_out))
    found = verify(copy, partial=True)
    assert not found.ok and f"not here: {left_out}: a partial copy holds every redacted file" in told(found)


def test_a_run_from_which_a_file_was_taken_is_no_copy(whole: Path) -> None:
    (whole / "audit.json").unlink()
    found = verify(whole)
    assert found.problems == ("audit.json is missing",) and not found.absent and not found.intact


def test_a_whole_run_is_no_partial_copy(whole: Path) -> None:
    found = verify(whole, partial=True)
    assert found.ok and "PARTIAL" not in told(found)
