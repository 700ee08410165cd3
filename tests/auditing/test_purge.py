"""A purge erases every text of the data, what stays verifies, and only the signer can say why something is gone."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditkit import load_policy, strict_json
from auditkit.auditing import publish, run_folder, runner
from auditkit.auditing import purge as purging
from auditkit.auditing.progress import Silent
from auditkit.auditing.publish import load_report, render_again
from auditkit.errors import AuditkitError, RunError, SigningError
from auditkit.report.base import AuditReport, ReportFormat
from auditkit.signing import purge as signed_purge
from auditkit.signing.files import list_folder
from auditkit.signing.keygen import KeyFiles
from auditkit.signing.keys import load_signer
from auditkit.signing.verify import verify
from tests.auditing.small_project import LEAK, policy_data, write_project

STAYS = {
    *("policy.lock.yaml", "events.jsonl", "attestation.dsse.json", "audit.redacted.json"),
    *("report.redacted.html", "results.sarif", "results.junit.xml", "purge.dsse.json"),
}


def _finished(folder: Path, policy: dict[str, Any]) -> Path:
    return runner.start(load_policy(write_project(folder / "project", policy)), folder / "reports", Silent()).folder


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, key_files: KeyFiles) -> Path:
    """A signed run whose retention period is over at once; tests take copies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_KEY", str(key_files.private))
        return _finished(tmp_path_factory.mktemp("signed"), policy_data(key_files, retention={"days": 0}))


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _finished(tmp_path_factory.mktemp("unsigned"), policy_data(retention={"days": 30}))


@pytest.fixture
def run(signed: Path, tmp_path: Path, signs: KeyFiles) -> Path:
    """A copy under its own name, with the key in the environment."""
    return Path(shutil.copytree(signed, tmp_path / signed.name))


def _purge(run: Path, **options: Any) -> purging.PurgePlan:
    plan = purging.plan(run_folder.existing(run))
    purging.purge(plan, **options)
    return plan


def _files(run: Path) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}


def test_what_stays_verifies_and_holds_no_text(run: Path, key_files: KeyFiles) -> None:
    before = _files(run)
    _purge(run)
    assert _files(run) == STAYS
    assert not (run / "evidence").exists()
    found = verify(run, key_files.public)
    assert found.problems == ()
    assert set(found.purged) == before - STAYS
    assert any("purged" in note and "release@example.com" in note for note in found.notes)
    for name in STAYS - {"policy.lock.yaml"}:  # in this test the policy itself quotes what the model says
        content = (run / name).read_bytes()
        assert b"kettle" not in content and b"hall" not in content, name


def test_audit_redacted_json_is_the_report_without_a_word_of_the_data(signed: Path) -> None:
    text = (signed / "audit.redacted.json").read_text()
    assert LEAK["assistant"] in (signed / "audit.json").read_text()
    assert "kettle" not in text and "hall" not in text
    whole, redacted = (json.loads((signed / name).read_bytes()) for name in ("audit.json", "audit.redacted.json"))
    assert redacted["verdict"] == whole["verdict"]
    assert [finding["record"] for finding in redacted["findings"]] == [one["record"] for one in whole["findings"]]
    assert redacted["findings"]


def test_the_redacted_formats_of_a_purged_run_are_what_they_were(run: Path, signed: Path, tmp_path: Path) -> None:
    _purge(run)
    made = render_again(run_folder.existing(run), tmp_path / "again", ("json", "html", "sarif", "junit"))
    assert {path.name for path in made} == {
        *("audit.redacted.json", "report.redacted.html", "results.sarif", "results.junit.xml"),
    }
    again, before = (json.loads((folder / "audit.redacted.json").read_bytes()) for folder in (made[0].parent, signed))
    assert again.pop("rendered_again")["run"] == run.name and before.pop("rendered_again") is None
    assert again == before
    for path in made:
        assert re.search("unsigned copy|rendered_again|is a copy, rendered again", path.read_text(), re.IGNORECASE), (
            path
        )
    assert load_report(run_folder.existing(run)).verdict.outcome == "fail"


def test_before_the_retention_period_is_over_it_is_refused(unsigned: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(unsigned, tmp_path / unsigned.name))
    before = _files(run)
    with pytest.raises(AuditkitError, match=r"30 days ends on .*\n.*--now"):
        _purge(run)
    assert _files(run) == before
    _purge(run, at_once=True, by="the data protection officer")
    found = verify(run)
    assert found.problems == ()
    assert any("before its retention period" in note and "data protection officer" in note for note in found.notes)
    assert any("UNSIGNED" in note and "purged" in note for note in found.notes)


def test_without_a_declared_period_it_has_to_be_asked_for(tmp_path: Path) -> None:
    run = _finished(tmp_path, policy_data(formats=["json"]))
    with pytest.raises(AuditkitError, match=r"no retention period.*\n.*--now"):
        _purge(run)
    _purge(run, at_once=True)
    assert verify(run).ok


def test_the_key_has_to_be_the_one_that_signed(
    run: Path, other_files: KeyFiles, key_files: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(run)
    with pytest.raises(SigningError, match="another key"):
        _purge(run, key=str(other_files.private))
    monkeypatch.delenv("TEST_KEY")
    with pytest.raises(SigningError, match="TEST_KEY"):
        _purge(run)
    assert _files(run) == before
    _purge(run, key=str(key_files.private))
    assert verify(run, key_files.public).ok


@pytest.mark.parametrize("survivors", range(0, 9, 4))
def test_killed_between_plan_and_removal_it_is_told_and_goes_on(
    run: Path, key_files: KeyFiles, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    erased: list[Path] = []

    def killed(path: Path) -> None:
        if len(erased) == survivors:
            raise KeyboardInterrupt
        erased.append(path)
        path.unlink()

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(purging, "_erase", killed)
        _purge(run)
    found = verify(run, key_files.public)
    left = _files(run) - STAYS
    assert left and all("is said to be purged, but is there" in problem for problem in found.problems)
    assert len(found.problems) == len(left)
    statement = (run / "purge.dsse.json").read_bytes()
    monkeypatch.delenv("TEST_KEY")  # what was signed is gone on with, without the key
    _purge(run)
    assert _files(run) == STAYS
    assert (run / "purge.dsse.json").read_bytes() == statement
    assert verify(run, key_files.public).ok


def test_a_second_purge_changes_nothing(run: Path, key_files: KeyFiles) -> None:
    _purge(run)
    before = (run / "purge.dsse.json").read_bytes()
    assert _purge(run).goes == ()
    assert (run / "purge.dsse.json").read_bytes() == before
    assert verify(run, key_files.public).ok


def test_a_file_too_many_in_the_evidence_is_named_and_nothing_erased(run: Path) -> None:
    (run / "evidence" / "notes.txt").write_text("mine")
    before = _files(run)
    with pytest.raises(AuditkitError, match=r"(?s)does not verify.*evidence/notes.txt is an extra file"):
        _purge(run)
    assert _files(run) == before


def test_a_file_that_was_changed_is_not_erased(run: Path) -> None:
    (run / "report.html").write_text("changed")
    with pytest.raises(AuditkitError, match=r"(?s)does not verify.*report.html was changed"):
        _purge(run)
    assert (run / "report.html").exists()


def test_an_unfinished_run_is_not_purged(run: Path) -> None:
    (run / "attestation.dsse.json").unlink()
    with pytest.raises(AuditkitError, match="not finished"):
        _purge(run)


def test_a_run_that_is_worked_on_is_not_purged(run: Path) -> None:
    with run_folder.existing(run).exclusive(), pytest.raises(RunError, match="another process"):
        _purge(run)
    assert not (run / "purge.dsse.json").exists()


def test_what_is_missing_without_a_purge_is_missing(run: Path, key_files: KeyFiles) -> None:
    _purge(run)
    (run / "purge.dsse.json").unlink()
    (problem,) = verify(run, key_files.public).problems
    assert problem.startswith("not here: evidence") and "audit.json" in problem


def test_what_no_statement_names_is_missing(run: Path, key_files: KeyFiles) -> None:
    _purge(run)
    (run / "results.sarif").unlink()
    assert verify(run, key_files.public).problems == ("results.sarif is missing",)


def test_what_comes_back_is_told(run: Path, signed: Path, key_files: KeyFiles) -> None:
    _purge(run)
    shutil.copy(signed / "report.html", run)
    (problem,) = verify(run, key_files.public).problems
    assert problem.startswith("report.html is said to be purged, but is there")


def test_a_file_that_appears_in_the_emptied_evidence_is_extra(run: Path, key_files: KeyFiles) -> None:
    _purge(run)
    (run / "evidence").mkdir()
    (run / "evidence" / "new.parquet").write_bytes(b"x")
    assert any("extra file" in problem for problem in verify(run, key_files.public).problems)


Change = Callable[[dict[str, Any]], None]


def _other_digest(statement: dict[str, Any]) -> None:
    statement["predicate"]["purged"][0]["digest"]["sha256"] = "0" * 64


def _covers(name: str) -> Change:
    def change(statement: dict[str, Any]) -> None:
        files = [*statement["predicate"]["purged"], {"name": name, "digest": {"sha256": "0" * 64}}]
        statement["predicate"]["purged"] = sorted(files, key=lambda file: str(file["name"]))

    return change


def _other_run(statement: dict[str, Any]) -> None:
    statement["predicate"]["run_id"] = "another-run"


def _other_attestation(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "0" * 64


def _other_time(statement: dict[str, Any]) -> None:
    statement["predicate"]["purged_at"] = "2020-01-01T00:00:00Z"


def _no_signer(statement: dict[str, Any]) -> None:
    statement["predicate"]["signer"] = None


def _forged(run: Path, change: Change, signer: Any) -> None:
    """The statement, changed, under another signature: the old one where ``signer`` is None."""
    from auditkit.signing import dsse

    file = run / "purge.dsse.json"
    envelope = json.loads(file.read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    payload = strict_json.canonical(statement)
    envelope["payload"] = base64.b64encode(payload).decode()
    file.write_bytes(dsse.seal(payload, signer) if signer else strict_json.canonical(envelope))


@pytest.mark.parametrize("change", [_other_digest, _other_run, _other_attestation, _other_time, _no_signer])
@pytest.mark.parametrize("signer", ["old", "other"])
def test_a_tampered_statement_excuses_nothing(
    run: Path, key_files: KeyFiles, other_files: KeyFiles, change: Change, signer: str
) -> None:
    _purge(run)
    _forged(run, change, load_signer(str(other_files.private)) if signer == "other" else None)
    found = verify(run, key_files.public)
    assert any("purge.dsse.json" in problem for problem in found.problems)
    assert "audit.json is missing" in found.problems
    assert found.purged == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_other_digest, "another digest than the attested one"),
        (_covers("results.sarif"), "results.sarif, which no purge may erase"),
        (_covers("report.redacted.html"), "which no purge may erase"),
        (_covers("policy.lock.yaml"), "which no purge may erase"),
        (_covers("evidence/never.parquet"), "which was never attested"),
        (_covers("evidence/../events.jsonl"), "which was never attested"),
        (_other_attestation, "of another run"),
        (_other_run, "of another run"),
    ],
)
def test_not_even_the_signer_may_claim_too_much(run: Path, key_files: KeyFiles, change: Change, words: str) -> None:
    _purge(run)
    _forged(run, change, load_signer(str(key_files.private)))
    found = verify(run, key_files.public)
    assert any(words in problem for problem in found.problems), found.problems
    assert "audit.json is missing" in found.problems


def test_a_purge_of_a_signed_run_that_nobody_signed_excuses_nothing(run: Path, key_files: KeyFiles) -> None:
    from auditkit.signing import dsse

    _purge(run)
    payload = base64.b64decode(json.loads((run / "purge.dsse.json").read_bytes())["payload"])
    (run / "purge.dsse.json").write_bytes(dsse.seal(payload, None))
    assert any("no valid signature of the run's signer" in one for one in verify(run, key_files.public).problems)


@pytest.mark.parametrize("rubbish", [b"", b"{}", b"\x00" * 100, b"[" * 100_000])
def test_rubbish_for_a_statement_is_a_problem_and_no_crash(run: Path, rubbish: bytes) -> None:
    (run / "purge.dsse.json").write_bytes(rubbish)
    assert any("purge.dsse.json is malformed" in problem for problem in verify(run).problems)
    with pytest.raises(AuditkitError, match="does not verify"):
        purging.plan(run_folder.existing(run))


def test_weights_of_arms_go_too(run: Path) -> None:
    from auditkit.signing.purge import is_purgeable

    assert is_purgeable("weights/goldfish/model.safetensors")
    assert is_purgeable("evidence/arms/goldfish/generations-template_prefix.parquet")
    kept = [
        "report.redacted.pdf",
        "report.redacted.annex.pdf",
        "registration.dsse.json",
        "attestation.dsse.json",
        "evidence",
        "weights.txt",
    ]
    assert not any(is_purgeable(name) for name in [*kept, *STAYS])


def test_a_claim_to_be_redacted_is_not_believed_when_rendered_again(run: Path, tmp_path: Path) -> None:
    claimed = json.loads((run / "audit.json").read_bytes()) | {"redacted": True}
    (run / "audit.json").write_text(json.dumps(claimed))
    paths = render_again(run_folder.existing(run), tmp_path / "again", ("html", "json"))
    assert {path.name for path in paths} == {"report.redacted.html", "audit.redacted.json"}
    assert not any(b"kettle" in path.read_bytes() for path in paths)
    told = json.loads((tmp_path / "again" / "audit.redacted.json").read_bytes())["rendered_again"]
    assert told["run"] == run.name and told["rendered"].endswith("Z")


class Spoken(ReportFormat):
    """A format of somebody else's, which says of one of its files that it holds no text."""

    kind: str = "spoken"
    textless = ("spoken/lengths.txt",)

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        (folder / "spoken").mkdir()
        texts, lengths = folder / "spoken" / "texts.txt", folder / "spoken" / "lengths.txt"
        texts.write_text(report.findings[0].record_text)
        lengths.write_text(str(len(report.findings[0].record_text)))
        return [texts, lengths]


def test_what_a_foreign_format_wrote_goes_but_for_what_it_says_holds_no_text(
    tmp_path: Path, key_files: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", str(key_files.private))
    declared = publish.report_formats
    monkeypatch.setattr(publish, "report_formats", lambda policy: [*declared(policy), Spoken()])
    run = _finished(tmp_path, policy_data(key_files, retention={"days": 0}))
    assert "kettle" in (run / "spoken" / "texts.txt").read_text()
    _purge(run)
    assert _files(run) == {*STAYS, "spoken/lengths.txt"}
    found = verify(run, key_files.public)
    assert found.problems == () and "spoken/texts.txt" in found.purged


def test_an_event_log_cannot_have_erased_what_shows_what_was_erased(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    names = ["events.jsonl", "audit.redacted.json", "notes.txt", "policy.lock.yaml", "waivers.dsse.json"]
    said = [json.dumps({"event": "written", "prev": "", "file": name, "texts": True}) for name in names]
    log.write_text("\n".join([*said, '{"event": "written", "file": 7, "texts": true}', "[]", "not JSON"]) + "\n")
    told = signed_purge.files_with_texts(tmp_path, list_folder(tmp_path))
    assert told == set(names)
    assert [name for name in names if signed_purge.is_purgeable(name, told)] == ["notes.txt"]
