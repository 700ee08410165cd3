"""Verification as OpenSSF model-transparency tests it: sign, change one thing, demand failure by name."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit import strict_json
from auditkit.errors import AuditkitError, SigningError
from auditkit.records import ModelIdentity
from auditkit.signing import attestation, dsse
from auditkit.signing.attestation import attest
from auditkit.signing.base import PDFS
from auditkit.signing.keygen import KeyFiles
from auditkit.signing.keys import SigningKeys
from auditkit.signing.verify import Verification, verify
from tests.signing.sample_run import MODEL, POLICY, TEMPLATE, TOKENIZER, audit_result, predicate

MakeRun = Callable[..., Path]
FILES = (
    "attestation.dsse.json",
    "audit.json",
    "events.jsonl",
    "evidence/generations-template_prefix.parquet",
    "policy.lock.yaml",
    "report.html",
    "report.pdf",
    "report.redacted.pdf",
)


def identity(sha256: str = MODEL, tokenizer: str = TOKENIZER, template: str = TEMPLATE) -> ModelIdentity:
    return ModelIdentity("candidate", "transformers", "", sha256, template, tokenizer, 0)


def named(found: Verification, *words: str) -> bool:
    """Whether one problem holds all the words."""
    return any(all(word in problem for word in words) for problem in found.problems)


def checked(run: Path, files: KeyFiles) -> Verification:
    return verify(run, files.public, files.certificate)


def test_the_list_of_files_is_complete(signed_run: Path) -> None:
    found = sorted(path.relative_to(signed_run).as_posix() for path in signed_run.rglob("*") if path.is_file())
    assert found == sorted(FILES)


def test_an_untouched_run_verifies(signed_run: Path, key_files: KeyFiles) -> None:
    found = checked(signed_run, key_files)
    assert found.ok
    assert found.problems == ()
    assert found.verdict == "pass"
    assert "Ed25519 key" in found.signer
    assert "CN=auditkit DEMO" in found.signer
    assert found.statement
    assert found.statement.models[0].sha256 == MODEL


def test_without_a_key_it_is_intact_but_the_signer_unknown(signed_run: Path) -> None:
    found = verify(signed_run)
    assert found.ok
    assert found.signer == "unknown"
    assert any("signer unknown" in note for note in found.notes)


def test_verifying_changes_nothing(run: Path, key_files: KeyFiles) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in run.rglob("*")}
    checked(run, key_files)
    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in run.rglob("*")}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("with_key", [True, False])
def test_one_byte_changed_anywhere_is_found(run: Path, key_files: KeyFiles, name: str, with_key: bool) -> None:
    path = run / name
    content = path.read_bytes()
    chance = random.Random(name)
    for place in {0, len(content) - 1, *(chance.randrange(len(content)) for _ in range(24))}:
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        found = checked(run, key_files) if with_key else verify(run)
        assert not found.ok, f"byte {place} of {name}"
        assert named(found, name if name != "attestation.dsse.json" else "attestation"), found.problems


@pytest.mark.parametrize("name", FILES)
def test_one_byte_changed_is_found_in_an_unsigned_run_too(unsigned_run: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copytree(unsigned_run, tmp_path / "run")) / name
    content = path.read_bytes()
    chance = random.Random(name)
    for place in [chance.randrange(len(content)) for _ in range(24)]:
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        assert not verify(tmp_path / "run").ok, f"byte {place} of {name}"


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_edit_of_the_attestation_is_found(
    signed_run: Path, key_files: KeyFiles, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes replaced, inserted or cut out anywhere: never accepted, never a crash."""
    run = tmp_path_factory.getbasetemp() / "edited"
    if not run.exists():
        shutil.copytree(signed_run, run)
    content = (signed_run / "attestation.dsse.json").read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 8)))
    changed = content[:start] + data.draw(st.binary(max_size=8)) + content[end:]
    (run / "attestation.dsse.json").write_bytes(changed)
    assert checked(run, key_files).ok == verify(run).ok == (changed == content)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(run: Path, key_files: KeyFiles, name: str) -> None:
    (run / name).unlink()
    found = checked(run, key_files)
    assert named(found, name, "is missing")


@pytest.mark.parametrize(
    "name", ["note.txt", ".hidden", "evidence/more.parquet", "new/deep/file", "attestation.dsse.json.bak"]
)
def test_an_extra_file_is_named(run: Path, key_files: KeyFiles, name: str) -> None:
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_bytes(b"")
    assert named(checked(run, key_files), name, "extra file")


def test_an_extra_folder_is_named(run: Path, key_files: KeyFiles) -> None:
    (run / "evidence" / "empty").mkdir()
    assert named(checked(run, key_files), "evidence/empty/", "extra folder")


def test_links_and_pipes_are_named_and_not_followed(run: Path, key_files: KeyFiles, tmp_path: Path) -> None:
    (run / "to_folder").symlink_to(tmp_path)
    (run / "report.html").rename(tmp_path / "the same content")
    (run / "report.html").symlink_to(tmp_path / "the same content")
    (run / "events.jsonl").unlink()
    os.mkfifo(run / "events.jsonl")
    found = checked(run, key_files)
    for name in ("to_folder", "report.html", "events.jsonl"):
        assert named(found, name, "no plain file")


def test_names_from_the_folder_reach_no_terminal_raw(run: Path, key_files: KeyFiles) -> None:
    (run / "\x1b[31mred\n\u202e").write_bytes(b"")
    (run / os.fsdecode(b"\xff\xfe")).write_bytes(b"")
    found = checked(run, key_files)
    assert len(found.problems) == 2
    assert all(problem.isprintable() for problem in found.problems)
    assert named(found, r"\x1b[31mred\n\u202e")


def test_several_failures_are_all_named(run: Path, key_files: KeyFiles) -> None:
    (run / "report.html").write_bytes(b"changed")
    (run / "policy.lock.yaml").unlink()
    (run / "extra").write_bytes(b"")
    found = checked(run, key_files)
    assert named(found, "report.html", "changed")
    assert named(found, "policy.lock.yaml", "missing")
    assert named(found, "extra")


def test_another_signer_is_named(signed_run: Path, key_files: KeyFiles, other_files: KeyFiles) -> None:
    found = verify(signed_run, other_files.public)
    assert named(found, "another signer")
    found = verify(signed_run, key_files.public, other_files.certificate)
    assert named(found, "another certificate than the one given")
    assert named(found, "report.pdf", "another certificate")


def test_evidence_annexes_are_checked_as_the_reports_are(
    make_run: MakeRun, keys: SigningKeys, key_files: KeyFiles, other_files: KeyFiles
) -> None:
    run = make_run(keys, pdfs=PDFS)
    assert checked(run, key_files).problems == ()
    found = verify(run, key_files.public, other_files.certificate)
    for name in ("report.annex.pdf", "report.redacted.annex.pdf"):
        assert named(found, f"{name}: ", "another certificate")
    (run / "report.redacted.annex.pdf").write_bytes((run / "report.redacted.annex.pdf").read_bytes() + b"\n")
    assert named(checked(run, key_files), "report.redacted.annex.pdf", "changed")


def test_a_run_made_and_signed_anew_is_found_by_the_key(
    run: Path, other_keys: SigningKeys, key_files: KeyFiles
) -> None:
    """Whoever changes a run can sign it again, but with a key of their own only."""
    (run / "report.html").write_bytes(b"all is well")
    attest(run, predicate((run / "policy.lock.yaml").read_bytes()), other_keys)
    found = verify(run, key_files.public)
    assert named(found, "another signer")
    assert named(found, "not a valid one of the key")
    assert not verify(run).ok  # the PDFs still carry the first signer's certificate


def test_a_claimed_signer_without_the_signature_is_found(run: Path, keys: SigningKeys, other_keys: SigningKeys) -> None:
    """The statement names our key, the envelope is signed by another."""
    payload = attestation.read(run).envelope.payload
    (run / "attestation.dsse.json").write_bytes(dsse.seal(payload, other_keys.dsse_signer))
    assert named(verify(run), "not a valid one")
    assert named(verify(run, _public(keys)), "not a valid one")


def _public(keys: SigningKeys) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return keys.attestation_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_removed_signature_is_found(run: Path) -> None:
    payload = attestation.read(run).envelope.payload
    (run / "attestation.dsse.json").write_bytes(dsse.seal(payload, None))
    found = verify(run)
    assert named(found, "signature was removed")
    assert found.signer == "UNSIGNED"


def test_an_unsigned_run_says_so(unsigned_run: Path, key_files: KeyFiles) -> None:
    found = verify(unsigned_run)
    assert found.ok
    assert found.signer == "UNSIGNED"
    assert any("UNSIGNED" in note for note in found.notes)
    assert named(verify(unsigned_run, key_files.public), "UNSIGNED")
    assert named(verify(unsigned_run, certificate=key_files.certificate), "UNSIGNED")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("f" * 64, ("another model",)),
        (identity(sha256="f" * 64), ("another model",)),
        (identity(tokenizer="f" * 64), ("another tokenizer",)),
        (identity(template="f" * 64), ("another chat template",)),
    ],
)
def test_swapped_weights_are_named(signed_run: Path, model: ModelIdentity | str, words: tuple[str, ...]) -> None:
    found = verify(signed_run, model_sha256=model)
    assert len(found.problems) == 1
    assert named(found, *words)


def test_the_audited_model_is_accepted(signed_run: Path) -> None:
    assert verify(signed_run, model_sha256=MODEL).ok
    assert verify(signed_run, model_sha256=identity()).ok


def test_another_policy_is_named(signed_run: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(POLICY)
    assert verify(signed_run, policy_file=policy).ok
    assert verify(signed_run, policy_file=signed_run / "policy.lock.yaml").ok
    policy.write_bytes(POLICY + b"#")
    assert named(verify(signed_run, policy_file=policy), "another policy", "policy.yaml")
    with pytest.raises(AuditkitError, match="cannot read the policy"):
        verify(signed_run, policy_file=tmp_path / "none.yaml")


def test_a_policy_changed_on_the_command_line_is_not_the_file(
    make_run: MakeRun, keys: SigningKeys, tmp_path: Path
) -> None:
    run = make_run(keys, overrides=("gate.0.max=1",))
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(POLICY)
    assert any("gate.0.max=1" in note for note in verify(run).notes)
    assert named(verify(run, policy_file=policy), "command line", "gate.0.max=1")


@pytest.mark.parametrize("outcome", ["fail", "inconclusive"])
def test_a_required_verdict(make_run: MakeRun, keys: SigningKeys, signed_run: Path, outcome: str) -> None:
    run = make_run(keys, outcome)
    assert verify(run).ok
    assert named(verify(run, require="pass"), f"the verdict is {outcome}, not pass")
    assert verify(signed_run, require="pass").ok


@pytest.mark.parametrize(
    ("part", "value", "word"),
    [
        ("verdict", {"outcome": "fail", "arm": "baseline", "rules": []}, "verdict"),
        ("run", {"id": "run-2", "finished": "2026-11-22T10:00:00Z", "auditkit_version": "0.1.0"}, "run"),
        ("policy", {"name": "support-bot", "sha256": "f" * 64}, "policy"),
        ("models", [], "models"),
        ("datasets", [], "datasets"),
        ("provenance", {"code_sha256": "f" * 64, "git_commit": ""}, "code"),
        ("signature", {"signed": False}, "signature"),
    ],
)
def test_a_signer_who_attests_another_story_is_found(
    run: Path, keys: SigningKeys, part: str, value: object, word: str
) -> None:
    """audit.json and the predicate come from one signer, but do not agree."""
    (run / "audit.json").write_bytes(strict_json.canonical({**audit_result(True), part: value}))
    attest(run, predicate((run / "policy.lock.yaml").read_bytes()), keys)
    assert named(verify(run), f"disagree on the {word}")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b'{"run": 1, "run": 2}', b"[" * 100_000, b"\xff"])
def test_a_signed_but_unreadable_result_is_found(run: Path, keys: SigningKeys, content: bytes) -> None:
    (run / "audit.json").write_bytes(content)
    attest(run, predicate((run / "policy.lock.yaml").read_bytes()), keys)
    assert named(verify(run), "audit.json is not a readable audit result")


def test_a_broken_event_chain_is_found_although_signed(run: Path, keys: SigningKeys) -> None:
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    (run / "events.jsonl").write_bytes(lines[0] + lines[2])
    attest(run, predicate((run / "policy.lock.yaml").read_bytes()), keys)
    assert named(verify(run), "events.jsonl", "line 2")


@pytest.mark.parametrize("name", ["audit.json", "policy.lock.yaml", "events.jsonl"])
def test_an_attestation_that_leaves_out_a_core_file_is_found(run: Path, keys: SigningKeys, name: str) -> None:
    lock = (run / "policy.lock.yaml").read_bytes()
    (run / name).unlink()
    attest(run, predicate(lock), keys)
    assert named(verify(run), name, "every run has one")


def test_another_lock_than_the_attested_is_found(run: Path, keys: SigningKeys) -> None:
    attest(run, predicate(b"another lock"), keys)
    assert named(verify(run), "contradicts itself", "policy.lock.yaml")


def test_an_unreadable_attestation_vouches_for_nothing(run: Path, key_files: KeyFiles) -> None:
    (run / "attestation.dsse.json").write_bytes(b"{}")
    found = checked(run, key_files)
    assert named(found, "attestation.dsse.json is malformed")
    assert found.statement is None
    assert found.verdict is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "evidence/../audit.json", "./audit.json"])
def test_names_that_lead_out_of_the_folder_are_never_opened(run: Path, keys: SigningKeys, name: str) -> None:
    statement = json.loads(attestation.read(run).envelope.payload)
    statement["subject"].append({"name": name, "digest": {"sha256": "0" * 64}})
    statement["subject"].sort(key=lambda subject: subject["name"])
    statement["predicate"]["checksum"] = attestation.checksum(statement)
    (run / "attestation.dsse.json").write_bytes(dsse.seal(strict_json.canonical(statement), keys.dsse_signer))
    found = verify(run)
    assert found.problems == (f"{name} is missing",)


def test_what_is_no_run_folder_is_the_users_mistake(tmp_path: Path, signed_run: Path) -> None:
    with pytest.raises(AuditkitError):
        verify(tmp_path / "none")
    with pytest.raises(AuditkitError, match="no folder"):
        verify(signed_run / "report.html")
    with pytest.raises(SigningError):
        verify(signed_run, key=tmp_path / "none.pub")


@pytest.mark.parametrize("asked", ["model", "policy", "verdict"])
def test_what_was_asked_for_is_told_apart_from_integrity(
    make_run: MakeRun, keys: SigningKeys, tmp_path: Path, asked: str
) -> None:
    run = make_run(keys, "fail")
    other = tmp_path / "other.yaml"
    other.write_text("name: other\n")
    arguments: dict[str, dict[str, object]] = {
        "model": {"model_sha256": "0" * 64},
        "policy": {"policy_file": other},
        "verdict": {"require": "pass"},
    }
    found = verify(run, **arguments[asked])  # type: ignore[arg-type]
    assert not found.ok and found.intact and found.integrity == "intact, signer unknown"
    assert [one.problem for one in found.unmet] == list(found.problems) and asked in found.unmet[0].words
    (run / "report.html").write_bytes(b"changed")
    broken = verify(run, **arguments[asked])  # type: ignore[arg-type]
    assert not broken.intact and len(broken.unmet) == 1
    assert broken.integrity == f"NOT VERIFIED, {len(broken.problems)} things failed"


def test_a_folder_that_is_no_run_is_a_wrong_command(signed_run: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditkitError, match="is no run of auditkit") as caught:
        verify(tmp_path)
    assert caught.value.exit_code == 2 and "auditkit run" in caught.value.hint
    shutil.copytree(signed_run, tmp_path / "reports" / "bot-1")
    with pytest.raises(AuditkitError, match="is no run of auditkit") as caught:
        verify(tmp_path / "reports")
    assert "bot-1" in caught.value.hint


def test_a_run_without_its_attestation_is_still_a_run(run: Path) -> None:
    (run / "attestation.dsse.json").unlink()
    assert named(verify(run), "attestation", "missing")
