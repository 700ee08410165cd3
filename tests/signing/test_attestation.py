"""The attestation: every file, canonical, atomic."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from auditkit import strict_json
from auditkit.errors import SigningError
from auditkit.signing import attestation
from auditkit.signing.attestation import attest, subjects
from auditkit.signing.keys import SigningKeys
from tests.signing.sample_run import predicate


def test_subjects_are_all_other_files_sorted(signed_run: Path) -> None:
    found = subjects(signed_run)
    expected = sorted(
        path.relative_to(signed_run).as_posix()
        for path in signed_run.rglob("*")
        if path.is_file() and path.name != "attestation.dsse.json"
    )
    assert [entry["name"] for entry in found] == expected
    assert "evidence/generations-template_prefix.parquet" in expected
    for entry in found:
        assert entry["digest"] == {"sha256": hashlib.sha256((signed_run / entry["name"]).read_bytes()).hexdigest()}


def test_hidden_files_and_deep_folders_are_subjects(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / ".c").mkdir(parents=True)
    (tmp_path / "a" / "b" / ".c" / ".hidden").write_bytes(b"")
    # only the one attestation at the top is no subject
    (tmp_path / "a" / "attestation.dsse.json").write_bytes(b"")
    assert [entry["name"] for entry in subjects(tmp_path)] == ["a/attestation.dsse.json", "a/b/.c/.hidden"]


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(SigningError, match="link"):
        subjects(tmp_path)


def test_payload_is_a_canonical_in_toto_statement(signed_run: Path) -> None:
    found = attestation.read(signed_run)
    statement = json.loads(found.envelope.payload)
    assert strict_json.canonical(statement) == found.envelope.payload
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://auditkit.dev/audit/v1"
    assert statement["predicate"]["verdict"]["outcome"] == "pass"


def test_it_is_written_whole_and_for_its_owner(run: Path) -> None:
    path = run / "attestation.dsse.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(run.rglob("*.part"))


def test_attesting_again_changes_nothing(run: Path, keys: SigningKeys) -> None:
    path = run / "attestation.dsse.json"
    before = path.read_bytes()
    attest(run, predicate((run / "policy.lock.yaml").read_bytes()), keys)
    assert path.read_bytes() == before  # Ed25519 signatures are deterministic


def test_a_predicate_of_another_shape_is_refused(run: Path) -> None:
    facts = predicate(b"")
    with pytest.raises(ValidationError):
        attest(run, {**facts, "record_text": "something"}, None)
    with pytest.raises(ValidationError):
        attest(run, {**facts, "run_id": None}, None)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"null", b"\0" * 100, b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}'],
)
def test_a_malformed_attestation_is_refused(run: Path, content: bytes) -> None:
    (run / "attestation.dsse.json").write_bytes(content)
    with pytest.raises(ValueError, match="is malformed"):
        attestation.read(run)


def test_a_link_is_not_read(run: Path, tmp_path: Path) -> None:
    path = run / "attestation.dsse.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="cannot be read"):
        attestation.read(run)


def test_an_endless_attestation_is_not_read_to_its_end(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attestation, "SIZE_LIMIT", 100)
    with pytest.raises(ValueError, match="longer than"):
        attestation.read(run)
