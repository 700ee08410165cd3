"""The purge statement against a run with signed PDFs: what it names may be gone, and nothing else; no edit is taken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.signing import attestation, purge
from auditkit.signing.base import PDFS, SignerFacts
from auditkit.signing.files import list_folder
from auditkit.signing.keygen import KeyFiles
from auditkit.signing.keys import SigningKeys
from auditkit.signing.verify import verify
from tests.signing.sample_run import write_run


def _purged(run: Path, keys: SigningKeys | None) -> Path:
    """What ``auditkit purge`` leaves of a run."""
    found = attestation.read(run)
    files = tuple(subject for subject in found.statement.subject if purge.is_purgeable(subject.name))
    predicate = purge.PurgePredicate(
        run_id=found.statement.predicate.run_id,
        purged_at="2026-12-01T00:00:00Z",
        by="release@example.com",
        auditkit_version="0.1.0",
        retention_days=None,
        early=True,
        purged=files,
        signer=SignerFacts(**keys.signer_facts) if keys else None,
    )
    content = purge.seal(predicate, (run / "attestation.dsse.json").read_bytes(), keys.dsse_signer if keys else None)
    (run / "purge.dsse.json").write_bytes(content)
    for file in files:
        (run / file.name).unlink()
    return run


@pytest.fixture(scope="module")
def purged(tmp_path_factory: pytest.TempPathFactory, signed_run: Path, keys: SigningKeys) -> Path:
    return _purged(Path(shutil.copytree(signed_run, tmp_path_factory.mktemp("purged") / "run")), keys)


def test_the_full_pdf_may_go_and_the_redacted_one_is_still_checked(purged: Path, key_files: KeyFiles) -> None:
    found = verify(purged, key_files.public, key_files.certificate)
    assert found.problems == ()
    assert set(found.purged) == {
        *("audit.json", "evidence/generations-template_prefix.parquet", "report.html", "report.pdf"),
    }
    assert (purged / "report.redacted.pdf").exists()


def test_the_full_annex_goes_and_the_redacted_one_stays(
    pdf: bytes, keys: SigningKeys, key_files: KeyFiles, tmp_path: Path
) -> None:
    run = _purged(write_run(tmp_path / "run", pdf, keys, pdfs=PDFS), keys)
    found = verify(run, key_files.public, key_files.certificate)
    assert found.problems == () and {"report.pdf", "report.annex.pdf"} <= set(found.purged)
    assert {path.name for path in run.glob("*.pdf")} == {"report.redacted.pdf", "report.redacted.annex.pdf"}


def test_a_redacted_pdf_that_is_gone_is_missing(purged: Path, key_files: KeyFiles, tmp_path: Path) -> None:
    run = Path(shutil.copytree(purged, tmp_path / "run"))
    (run / "report.redacted.pdf").unlink()
    assert verify(run, key_files.public).problems == ("report.redacted.pdf is missing",)


def test_an_unsigned_run_is_purged_without_a_signature(unsigned_run: Path, tmp_path: Path, keys: SigningKeys) -> None:
    run = _purged(Path(shutil.copytree(unsigned_run, tmp_path / "run")), None)
    assert verify(run).problems == ()
    other = _purged(Path(shutil.copytree(unsigned_run, tmp_path / "other")), keys)
    assert any("not by the signer of the run" in problem for problem in verify(other).problems)


def test_a_statement_taken_from_another_run_excuses_nothing(
    purged: Path, unsigned_run: Path, key_files: KeyFiles, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(unsigned_run, tmp_path / "run"))
    shutil.copy(purged / "purge.dsse.json", run)
    (run / "audit.json").unlink()
    problems = verify(run).problems
    assert "audit.json is missing" in problems
    assert any("of another run" in problem for problem in problems)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_edit_of_the_statement_is_found(
    purged: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes replaced, inserted or cut out anywhere: nothing is excused, and nothing breaks."""
    run = tmp_path_factory.getbasetemp() / "edited-purge"
    if not run.exists():
        shutil.copytree(purged, run)
    content = (purged / "purge.dsse.json").read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 8)))
    changed = content[:start] + data.draw(st.binary(max_size=8)) + content[end:]
    (run / "purge.dsse.json").write_bytes(changed)
    found = purge.check(run, list_folder(run), attestation.read(run))
    assert (changed == content) == (not found.problems)
    assert bool(found.names) == (changed == content)


def test_without_a_retention_period_none_is_said_to_have_been_cut_short(purged: Path, key_files: KeyFiles) -> None:
    (note,) = (note for note in verify(purged, key_files.public).notes if note.startswith("purged"))
    assert "the policy declares no retention period" in note and "before its retention" not in note
    assert "as a signed statement says" in note
