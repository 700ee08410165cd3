"""Was the bar set before the result? Registrations and earlier runs, as whole audits find and tell them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auditkit import load_policy, strict_json
from auditkit.auditing import runner
from auditkit.auditing.history import registration_fact
from auditkit.auditing.ledger import Ledger
from auditkit.auditing.preflight import preflight
from auditkit.auditing.progress import Silent
from auditkit.auditing.publish import signing_keys
from auditkit.auditing.registered import register
from auditkit.auditing.runner import Result
from auditkit.errors import AuditkitError, RunError
from auditkit.report import history_words
from auditkit.report.base import AuditReport
from auditkit.signing import attestation
from auditkit.signing.keygen import KeyFiles, generate
from auditkit.signing.verify import verify
from tests.auditing.small_project import policy_data, write_policy, write_project
from tests.signing.tsa import Authority, local_tsa

Run = Callable[..., Result]


@pytest.fixture
def policy(tmp_path: Path, signs: KeyFiles) -> Path:
    return write_project(tmp_path / "project", policy_data(signs, formats=["json"]))


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports"


@pytest.fixture
def run(policy: Path, reports: Path) -> Run:
    def go(*overrides: str) -> Result:
        return runner.start(load_policy(policy, overrides=overrides), reports, Silent())

    return go


def _earlier(report: AuditReport) -> list[tuple[str, str]]:
    assert report.earlier_runs
    return [(one.run, one.outcome) for one in report.earlier_runs.runs]


def test_registered_before_any_run(policy: Path, reports: Path, run: Run, signs: KeyFiles) -> None:
    made = register(load_policy(policy), reports=reports)
    assert made.predicate.earlier_runs == 0
    assert [(rule.metric, rule.limit) for rule in made.predicate.gate] == [("string_memorisation_rate", 0.05)]
    done = run()
    found = done.report.registration
    assert found and found.unchanged and found.same_key
    assert (found.registered, found.runs_before, found.later_runs) == (made.predicate.registered, 0, 0)
    assert "before any known run" in history_words.answer(done.report)
    assert "its signer's own clock" in history_words.answer(done.report)
    copy = done.folder / "registration.dsse.json"
    assert copy.read_bytes() == made.file.read_bytes()
    checked = verify(done.folder, signs.public)
    assert checked.problems == ()
    assert any("registered before the run" in note for note in checked.notes)


def test_a_gate_that_cannot_pass_is_registered_with_the_warning_of_check(policy: Path, reports: Path) -> None:
    impossible = load_policy(policy, overrides=["gate.0.max=0"])
    told = register(impossible, reports=reports).warnings
    said = [str(problem) for problem in preflight(impossible, reports).problems if "limit of 0" in problem.message]
    assert said and told[0] == f"no run of this policy can pass its gate: {said[0]}"


def test_a_rule_that_sees_little_is_registered_with_the_warning_of_check(policy: Path, reports: Path) -> None:
    loaded = load_policy(policy)
    told = register(loaded, reports=reports).warnings
    assert set(told) <= set(preflight(loaded, reports).warnings)


def test_not_registered_is_said(run: Run) -> None:
    first = run()
    assert first.report.registration is None
    assert "was not registered" in history_words.answer(first.report)
    assert "No earlier runs of the same model and data are known" in history_words.answer(first.report)
    second = run()
    assert _earlier(second.report) == [(first.folder.name, "fail")]
    assert "1 earlier run of the same model and data is known" in history_words.answer(second.report)


def test_registered_after_runs_is_told_with_their_verdicts(policy: Path, reports: Path, run: Run) -> None:
    first = run()
    assert register(load_policy(policy), reports=reports).predicate.earlier_runs == 1
    second = run()
    third = run()
    assert third.report.registration
    assert (third.report.registration.runs_before, third.report.registration.later_runs) == (1, 1)
    assert _earlier(third.report) == [(second.folder.name, "fail"), (first.folder.name, "fail")]
    said = history_words.answer(third.report)
    assert "but after 1 earlier run of the same model and data" in said
    assert "1 earlier run of the same model and data is known from between" in said


def test_a_limit_that_moved_after_registration_is_told(policy: Path, reports: Path, run: Run, signs: KeyFiles) -> None:
    register(load_policy(policy), reports=reports)
    data = policy_data(signs, formats=["json"])
    data["gate"] = [
        {"metric": "string_memorisation_rate", "max": 0.5},
        {"metric": "coverage", "max": 0.9},
    ]
    write_policy(policy, data)
    done = run()
    found = done.report.registration
    assert found and not found.unchanged
    first, second, third = found.differences
    assert first == (
        "A limit was loosened: registered string memorisation rate of every attack on every dataset (record view) "
        "at most 0.05, run with at most 0.5."
    )
    assert "A rule was added: coverage" in second
    assert "SHA-256 is another" in third
    said = history_words.answer(done.report)
    assert "something else was run" in said and "loosened" in said and "2 more differences" in said
    checked = verify(done.folder, signs.public)
    assert checked.ok, checked.problems
    assert any("something else was run" in note for note in checked.notes)


def test_a_change_from_the_command_line_is_not_as_registered(policy: Path, reports: Path, run: Run) -> None:
    register(load_policy(policy), reports=reports)
    found = run("gate.0.max=0.04", "attacks.0.samples=90").report.registration
    assert found
    assert any("A limit was tightened" in sentence for sentence in found.differences)
    assert any("attacks.0.samples=90" in sentence for sentence in found.differences)


def test_other_data_than_registered_is_told(policy: Path, reports: Path, run: Run) -> None:
    register(load_policy(policy), reports=reports)
    with (policy.parent / "sft.jsonl").open("a") as stream:
        stream.write(json.dumps({"q": "One more?", "a": "Yes, this one here."}) + "\n")
    found = run().report.registration
    assert found and len(found.differences) == 1
    assert "Other data was registered as “sft”" in found.differences[0]


def test_what_was_not_there_is_not_registered(policy: Path, reports: Path, run: Run) -> None:
    data = (policy.parent / "sft.jsonl").rename(policy.parent / "later.jsonl")
    (policy.parent / "sft.jsonl").mkdir()  # the path is there, so that the policy loads; the records are not
    made = register(load_policy(policy), reports=reports)
    assert [one.merkle_root for one in made.predicate.datasets] == [None]
    assert made.predicate.earlier_runs is None
    (policy.parent / "sft.jsonl").rmdir()
    data.rename(policy.parent / "sft.jsonl")
    found = run().report.registration
    assert found and found.unchanged
    assert found.unknown == ["the dataset “sft”"]


def test_a_policy_that_nobody_signs_cannot_be_registered(policy: Path) -> None:
    write_policy(policy, policy_data())
    with pytest.raises(AuditkitError, match=r"sign: none.*\n.*keygen"):
        register(load_policy(policy))


def test_a_second_registration_keeps_the_first(policy: Path, reports: Path, run: Run) -> None:
    first = register(load_policy(policy), reports=reports)
    content = first.file.read_bytes()
    with pytest.raises(AuditkitError, match="--again"):
        register(load_policy(policy), reports=reports)
    assert first.file.read_bytes() == content
    second = register(load_policy(policy), reports=reports, again=True)
    third = register(load_policy(policy), reports=reports, again=True)
    assert second.kept and second.kept.name == "policy.registration.1.dsse.json"
    assert second.kept.read_bytes() == content
    assert third.kept and third.kept.name == "policy.registration.2.dsse.json"
    assert third.predicate.previous_sha256 is not None
    found = run().report.registration
    assert found and found.previous_sha256 == third.predicate.previous_sha256


@pytest.mark.parametrize("change", [b"0.05", b"registered"])
def test_a_damaged_registration_is_refused_before_anything_runs(
    policy: Path, reports: Path, run: Run, change: bytes
) -> None:
    made = register(load_policy(policy), reports=reports)
    content = bytearray(made.file.read_bytes())
    content[len(content) // 2] ^= 1
    made.file.write_bytes(content)
    with pytest.raises(AuditkitError, match=r"(?s)registration.*register again"):
        run()
    assert not [path for path in reports.glob("*") if path.is_dir()]


def test_a_registration_by_another_key_is_named(
    policy: Path, reports: Path, run: Run, other_files: KeyFiles, signs: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = policy_data(signs, formats=["json"])
    monkeypatch.setenv("TEST_KEY", str(other_files.private))
    policy.write_text(policy.read_text().replace(str(signs.certificate), str(other_files.certificate)))
    made = register(load_policy(policy), reports=reports)
    write_policy(policy, data)
    monkeypatch.setenv("TEST_KEY", str(signs.private))
    done = run()
    assert done.report.registration and not done.report.registration.same_key
    assert done.report.registration.key_id == made.predicate.signer.key_id
    assert "another key" in history_words.answer(done.report)
    checked = verify(done.folder, signs.public)
    assert any("another key than the run" in note for note in checked.notes)


def test_a_time_stamp_is_by_the_authoritys_clock(policy: Path, reports: Path, run: Run, signs: KeyFiles) -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).replace(microsecond=0)
    with local_tsa(Authority(time=yesterday)) as authority:
        data = policy_data(signs, formats=["json"])
        data["report"]["sign"]["timestamp"] = authority.url
        write_policy(policy, data)
        made = register(load_policy(policy), reports=reports)
    assert made.stamp and made.stamp.time == yesterday
    assert made.stamp_file and made.stamp_file.name == "policy.registration.timestamp"
    done = run()
    found = done.report.registration
    assert found and "auditkit test TSA" in found.authority
    assert datetime.fromisoformat(found.stamped) == yesterday
    assert "time stamp of" in history_words.answer(done.report)
    checked = verify(done.folder, signs.public)
    assert checked.ok and any("auditkit test TSA (not checked" in note for note in checked.notes)
    checked = verify(done.folder, signs.public, tsa_certificate=authority.pem)
    assert checked.ok and any("auditkit test TSA (the authority given)" in note for note in checked.notes)
    (problem,) = verify(done.folder, signs.public, tsa_certificate=signs.certificate).problems
    assert "not issued by a trusted authority" in problem


def test_a_time_stamp_of_something_else_is_refused(policy: Path, reports: Path, run: Run, signs: KeyFiles) -> None:
    with local_tsa() as authority:
        data = policy_data(signs, formats=["json"])
        data["report"]["sign"]["timestamp"] = authority.url
        write_policy(policy, data)
        first = register(load_policy(policy), reports=reports)
        register(load_policy(policy), reports=reports, again=True)
    assert first.stamp_file
    kept = policy.parent / "policy.registration.1.timestamp"
    shutil.copy(kept, first.stamp_file)
    with pytest.raises(AuditkitError, match="stamps something else"):
        run()


def test_without_an_answer_from_the_authority_nothing_is_written(policy: Path, signs: KeyFiles) -> None:
    data = policy_data(signs, formats=["json"])
    data["report"]["sign"]["timestamp"] = "http://127.0.0.1:9/nobody"
    write_policy(policy, data)
    with pytest.raises(AuditkitError, match="no time stamp"):
        register(load_policy(policy))
    assert not list(policy.parent.glob("*registration*"))


def _claim_a_pass(reports: Path, place: int) -> None:
    """Change the outcome in one line of the ledger."""
    ledger = reports / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    assert '"outcome": "fail"' in lines[place]
    lines[place] = lines[place].replace('"outcome": "fail"', '"outcome": "pass"')
    ledger.write_text("".join(lines))


def test_a_changed_ledger_is_said_in_the_report(run: Run, reports: Path) -> None:
    run()
    run()
    _claim_a_pass(reports, 1)
    report = run().report
    assert report.earlier_runs
    assert any("The ledger was changed: line 3" in problem for problem in report.earlier_runs.problems)
    assert "cannot be relied on" in history_words.answer(report)


def test_of_a_changed_last_line_the_runs_own_attestation_tells(run: Run, reports: Path) -> None:
    """Nothing is chained to the last line yet when it is changed."""
    first = run()
    _claim_a_pass(reports, -1)
    report = run().report
    assert report.earlier_runs
    (problem,) = report.earlier_runs.problems
    assert first.folder.name in problem and "another verdict than its attestation" in problem
    assert _earlier(report) == [(first.folder.name, "fail")]


def test_a_ledger_that_was_written_anew_is_seen_by_what_the_runs_remember(run: Run, reports: Path) -> None:
    first = run()
    ledger = reports / "ledger.jsonl"
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    ledger.unlink()
    for entry in entries:
        facts = {key: value for key, value in entry.items() if key not in ("prev", "time", "event")}
        Ledger.of(reports).append(entry["event"], **{**facts, **({"outcome": "pass"} if "outcome" in facts else {})})
    report = run().report
    assert Ledger.of(reports).read().problems == ()
    assert report.earlier_runs
    assert any("written anew" in problem for problem in report.earlier_runs.problems)
    assert first.folder.name in [one.run for one in report.earlier_runs.runs]


def test_a_ledger_that_was_deleted_does_not_hide_the_runs_beside_it(run: Run, reports: Path) -> None:
    first = run()
    (reports / "ledger.jsonl").unlink()
    report = run().report
    assert report.earlier_runs
    (found,) = report.earlier_runs.runs
    assert (found.run, found.outcome, found.in_ledger) == (first.folder.name, "fail", False)


def test_a_registration_remembers_runs_that_were_deleted_since(policy: Path, run: Run, reports: Path) -> None:
    run()
    register(load_policy(policy), reports=reports)
    shutil.rmtree(reports)
    report = run().report
    assert report.earlier_runs and report.earlier_runs.total == 0
    assert any("counted 1 earlier runs" in problem for problem in report.earlier_runs.problems)
    assert "but after 1 earlier run" in history_words.answer(report)


def _break(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr(runner, "publish", broken)


@pytest.mark.parametrize(("error", "outcome"), [(OSError("disk"), "failed"), (KeyboardInterrupt(), "interrupted")])
def test_a_run_that_breaks_and_is_resumed_counts_once_and_not_for_itself(
    run: Run, reports: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, outcome: str
) -> None:
    with monkeypatch.context() as patch:
        _break(patch, error)
        with pytest.raises(RunError):
            run()
    (broken,) = (path for path in reports.iterdir() if path.is_dir())
    second = run()
    assert _earlier(second.report) == [(broken.name, outcome)]
    resumed = runner.resume(broken, Silent())
    assert _earlier(resumed.report) == []
    assert _earlier(run().report) == [(second.folder.name, "fail"), (broken.name, "fail")]
    assert [entry.event for entry in Ledger.of(reports).read().entries if entry.run == broken.name] == [
        *("started", "ended", "resumed", "ended"),
    ]


def test_a_run_that_was_killed_is_unfinished(run: Run, reports: Path) -> None:
    first = run()
    lines = (reports / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (reports / "ledger.jsonl").write_bytes(lines[0])
    attested = (first.folder / "attestation.dsse.json").rename(reports.parent / "kept")
    assert _earlier(run().report) == [(first.folder.name, "unfinished")]
    attested.rename(first.folder / "attestation.dsse.json")  # killed before the ledger was told: it is finished
    assert (first.folder.name, "fail") in _earlier(run().report)
    runner.resume(first.folder, Silent())
    last = Ledger.of(reports).read().entries[-1]
    assert (last.event, last.run, last.outcome) == ("ended", first.folder.name, "fail")


def test_a_run_of_other_data_is_no_earlier_run(policy: Path, run: Run, reports: Path) -> None:
    run()
    content = (policy.parent / "sft.jsonl").read_text()
    (policy.parent / "sft.jsonl").write_text(content + json.dumps({"q": "And this?", "a": "That too."}) + "\n")
    report = run().report
    assert _earlier(report) == []
    assert "1 earlier run of the same model is known on data with other Merkle roots" in history_words.answer(report)


def test_a_new_secret_does_not_make_earlier_runs_forgotten(policy: Path, run: Run) -> None:
    run()
    (policy.parent / ".auditkit-secret").unlink()
    said = history_words.answer(run().report)
    assert "under another secret of the project" in said


def test_the_approver_is_registered_not_only_the_name_of_a_file(
    policy: Path, reports: Path, run: Run, signs: KeyFiles, tmp_path: Path
) -> None:
    first, second = generate(tmp_path / "first"), generate(tmp_path / "second")
    shutil.copy(first.public, policy.parent / "approver.pub")
    write_policy(policy, {**policy_data(signs, formats=["json"]), "waivers": {"key": "approver.pub"}})
    made = register(load_policy(policy), reports=reports)
    assert run().report.registration.unchanged  # type: ignore[union-attr]
    shutil.copy(second.public, policy.parent / "approver.pub")
    done = run()
    assert done.report.registration
    (difference,) = done.report.registration.differences
    assert difference == f"Another approver of waivers was registered: key id {made.predicate.approver}."
    assert verify(done.folder, signs.public).ok


def test_a_report_that_claims_a_time_stamp_that_is_not_there_fails(
    policy: Path, reports: Path, run: Run, signs: KeyFiles
) -> None:
    """The auditor signs what the report says; the registration itself says otherwise."""
    register(load_policy(policy), reports=reports)
    done = run()
    for name in ("audit.json", "audit.redacted.json"):
        told = json.loads((done.folder / name).read_bytes())
        told["registration"] |= {"stamped": "2020-01-01T00:00:00Z", "authority": "Known TSA"}
        (done.folder / name).write_bytes(strict_json.canonical(told))
    facts = attestation.read(done.folder).statement.predicate.model_dump(mode="json", exclude={"signer", "checksum"})
    attestation.attest(done.folder, facts, signing_keys(load_policy(policy)))
    (problem,) = verify(done.folder, signs.public).problems
    assert "account of the registration" in problem


def test_a_run_that_is_under_way_cannot_be_registered(
    policy: Path, reports: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = register(load_policy(policy), tmp_path / "late.registration.dsse.json", reports)
    with monkeypatch.context() as patch:
        _break(patch, OSError("disk"))
        with pytest.raises(RunError):
            run()
    (broken,) = (path for path in reports.iterdir() if path.is_dir())
    shutil.copy(made.file, broken / "registration.dsse.json")
    report = runner.resume(broken, Silent()).report
    assert report.registration
    assert report.registration.differences == ["The registration was not there when this run began."]


def test_check_tells_of_the_registration(policy: Path, reports: Path) -> None:
    assert "auditkit register" in registration_fact(load_policy(policy))
    made = register(load_policy(policy), reports=reports)
    assert registration_fact(load_policy(policy)).endswith("by its signer's own clock; unchanged since")
    assert "changed since, which" in registration_fact(load_policy(policy, ["gate.0.max=0.4"]))
    made.file.write_bytes(made.file.read_bytes()[:-1])
    problems = preflight(load_policy(policy), reports).problems
    assert any("registration" in problem.message and "--again" in problem.hint for problem in problems)


def test_the_ledgers_head_is_attested(run: Run, reports: Path) -> None:
    done = run()
    first = json.loads((done.folder / "events.jsonl").read_bytes().splitlines()[0])
    assert first["event"] == "started"
    assert first["ledger"] == Ledger.of(reports).read().digests[0]
    assert done.report.earlier_runs and done.report.earlier_runs.ledger_sha256 == first["ledger"]


def test_a_forged_registration_in_the_run_folder_fails(
    policy: Path, reports: Path, run: Run, signs: KeyFiles, tmp_path: Path
) -> None:
    register(load_policy(policy), reports=reports)
    done = run()
    again = register(load_policy(policy), tmp_path / "later.registration.dsse.json", reports)
    shutil.copy(again.file, done.folder / "registration.dsse.json")
    problems = verify(done.folder, signs.public).problems
    assert any("registration.dsse.json was changed" in problem for problem in problems)
    assert any("account of the registration" in problem for problem in problems)
    (done.folder / "registration.dsse.json").unlink()
    problems = verify(done.folder, signs.public).problems
    assert any("the report says that the policy was registered" in problem for problem in problems)
