"""The evidence annexes of a run: signed and attested with its reports, purged with them, rendered again as copies."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from auditkit import load_policy
from auditkit.auditing import purge as purging
from auditkit.auditing import run_folder, runner
from auditkit.auditing.progress import Silent
from auditkit.auditing.publish import render_again
from auditkit.report import document
from auditkit.signing.keygen import KeyFiles
from auditkit.signing.pdf_signature import check_pdf
from auditkit.signing.verify import verify
from tests.auditing.small_project import LEAK, policy_data, write_project
from tests.report.poppler import inflated, told

ANNEXES = ("report.annex.pdf", "report.redacted.annex.pdf")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, key_files: KeyFiles) -> Path:
    """A signed run whose reports on paper print no finding."""
    folder = tmp_path_factory.mktemp("annexes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_KEY", str(key_files.private))
        patch.setattr(document, "PAPER", replace(document.PAPER, findings=0))
        policy = policy_data(key_files, formats=["json", "pdf"], retention={"days": 0})
        return runner.start(load_policy(write_project(folder / "project", policy)), folder / "reports", Silent()).folder


def test_annexes_are_signed_and_attested(signed: Path, key_files: KeyFiles) -> None:
    found = verify(signed, key_files.public, key_files.certificate)
    assert found.problems == ()
    for name in ANNEXES:
        assert check_pdf(signed / name, None) == []
        assert "UNSIGNED" not in told("pdftotext", signed / name, "-")


def test_the_event_log_says_which_of_them_holds_texts(signed: Path) -> None:
    events = [json.loads(line) for line in (signed / "events.jsonl").read_text().splitlines()]
    written = {event["file"]: event["texts"] for event in events if event.get("event") == "written"}
    assert {name: written[name] for name in ANNEXES} == dict(zip(ANNEXES, (True, False), strict=True))


def test_the_full_one_shows_the_leak_and_the_redacted_one_no_word_of_it(signed: Path) -> None:
    full, redacted = (told("pdftotext", signed / name, "-") for name in ANNEXES)
    content = redacted.encode() + inflated(signed / ANNEXES[1])
    assert LEAK["user"] in full and "blue kettle" in full
    assert not [word for word in (b"kettle", b"Where is", b"hall.") if word in content]


def test_a_purge_erases_the_full_one_and_what_stays_verifies(
    signed: Path, tmp_path: Path, key_files: KeyFiles, signs: KeyFiles
) -> None:
    run = Path(shutil.copytree(signed, tmp_path / signed.name))
    purging.purge(purging.plan(run_folder.existing(run)))
    assert not (run / ANNEXES[0]).exists() and (run / ANNEXES[1]).exists()
    assert verify(run, key_files.public, key_files.certificate).problems == ()


def test_rendered_again_they_are_copies(signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "PAPER", replace(document.PAPER, findings=0))
    paths = render_again(run_folder.existing(signed), tmp_path / "again", ("pdf",))
    for path in paths[2:]:
        assert path.name in ANNEXES and "UNSIGNED COPY" in told("pdftotext", path, "-")
