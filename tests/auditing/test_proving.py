"""One record of a finished run is proved to have been audited, to somebody without the data and without the secret."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from auditkit import audit, load_policy, strict_json
from auditkit.auditing.proving import check_proof, write_proof
from auditkit.auditing.run_folder import RunFolder
from auditkit.errors import AuditkitError
from tests.auditing.scripted_project import rows, said, write_project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in its project."""
    folder = tmp_path_factory.mktemp("project")
    audit(
        load_policy(write_project(folder, said(rows(100, 1)[:2]), report={"formats": ["json"], "sign": "none"})),
        folder / "out",
    )
    (run,) = (folder / "out").glob("*/")
    return run


@pytest.fixture
def proof(finished: Path, tmp_path: Path) -> Path:
    return write_proof(RunFolder(finished), "sft.jsonl:17", tmp_path / "proof.json", None)[0]


def elsewhere(finished: Path, tmp_path: Path) -> Path:
    """What somebody else is given: the run without its evidence and without the project around it."""
    given = tmp_path / "given" / finished.name
    shutil.copytree(finished, given, ignore=shutil.ignore_patterns("evidence", "audit.json"))
    return given


def test_it_holds_without_data_and_secret(finished: Path, proof: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(proof.stat().st_mode) == 0o600
    row = rows(100, 1)[16]
    (tmp_path / "record.txt").write_text(f"  {row['q']}\n{row['a']}\n")
    (tmp_path / "record.json").write_text(json.dumps({"prompt": row["q"], "response": row["a"]}))
    (tmp_path / "other.txt").write_text(f"{row['q']}\n{row['a']} And more.")
    given = elsewhere(finished, tmp_path)
    for name, holds in (("record.txt", True), ("record.json", True), ("other.txt", False)):
        found = check_proof(given, proof, tmp_path / name)
        assert found.ok == holds, found
    found = check_proof(given, proof)
    assert found.ok and found.proof is not None
    assert "record 17 of 100 of the dataset sft" in found.sentence and found.proof.record.sha256 in found.sentence
    text = proof.read_text()
    assert row["q"] in text
    assert not any(other["q"] in text or other["a"] in text for other in rows(100, 1) if other != row)


def test_every_flipped_byte_fails(finished: Path, proof: Path, tmp_path: Path) -> None:
    given, content, broken = elsewhere(finished, tmp_path), proof.read_bytes(), tmp_path / "broken.json"
    for at in range(len(content)):
        broken.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert not check_proof(given, broken).ok, at
    for other in (content + b"\n", content[:-1], b"", b"[" * 100_000, json.dumps(json.loads(content)).encode()):
        broken.write_bytes(other)
        assert not check_proof(given, broken).ok


def test_a_proof_of_another_run_dataset_or_size_fails(finished: Path, proof: Path, tmp_path: Path) -> None:
    value, broken = json.loads(proof.read_bytes()), tmp_path / "broken.json"
    for change in ({"run": "other"}, {"dataset": "dpo"}, {"size": 101}, {"root": "0" * 64}, {"index": 15}):
        broken.write_bytes(strict_json.canonical({**value, **change}))
        found = check_proof(finished, broken)
        assert not found.ok and found.problems


def test_a_record_is_found_by_its_id_and_after_a_purge_by_the_policy(finished: Path, tmp_path: Path) -> None:
    finding = json.loads((finished / "audit.json").read_bytes())["findings"][0]
    path, proof = write_proof(RunFolder(finished), finding["record"], tmp_path / "a.json", None)
    assert proof.index == finding["record_index"]
    given = elsewhere(finished, tmp_path)
    with pytest.raises(AuditkitError, match="purged"):
        write_proof(RunFolder(given), finding["record"], tmp_path / "b.json", None)
    policy = finished.parents[1] / "policy.yaml"
    write_proof(RunFolder(given), finding["record"], tmp_path / "b.json", policy)
    assert (tmp_path / "b.json").read_bytes() == path.read_bytes()


def test_data_that_changed_and_a_secret_that_is_another_are_refused(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished.parents[1], project)
    policy, data, secret = project / "policy.yaml", project / "sft.jsonl", project / ".auditkit-secret"
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines[:-1], lines[0]]) + "\n")
    with pytest.raises(AuditkitError, match="the root is another"):
        write_proof(RunFolder(finished), "sft.jsonl:17", tmp_path / "a.json", policy)
    data.write_text("\n".join(lines) + "\n")
    secret.write_text("another secret than the one before")
    with pytest.raises(AuditkitError, match="the root is another"):
        write_proof(RunFolder(finished), "sft.jsonl:17", tmp_path / "a.json", policy)
    secret.unlink()
    with pytest.raises(AuditkitError, match="project's secret"):
        write_proof(RunFolder(finished), "sft.jsonl:17", tmp_path / "a.json", policy)
    assert not secret.exists() and not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("item", ["rec-00000000000000000000", "sft.jsonl:101", "sft.jsonl", "controls.jsonl:1", ":1"])
def test_what_is_no_record_is_refused(finished: Path, tmp_path: Path, item: str) -> None:
    with pytest.raises(AuditkitError, match="no record of the declared datasets"):
        write_proof(RunFolder(finished), item, tmp_path / "a.json", None)
