"""Whole audits under waivers: a failed rule is waived by whom the policy lets, while it lasts, and in every format."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from auditkit import audit, load_policy, strict_json, verify
from auditkit.auditing.progress import Silent
from auditkit.auditing.runner import resume
from auditkit.auditing.waiver_desk import add, listed, waived_rule, waiver
from auditkit.errors import AuditkitError, SigningError
from auditkit.policy.schema import Policy
from auditkit.report.base import AuditReport, Waiver
from auditkit.report.terminal import render_screen
from auditkit.report.wording import outcome_words
from auditkit.signing.keygen import KeyFiles, generate
from auditkit.signing.keys import load_signer
from auditkit.signing.waiver_file import WaiverSheet, seal
from tests.auditing.scripted_project import rows, said, write_project

LATER = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
FACTS = {"reason": "Published FAQ texts", "who": "J. Doe, Legal", "expires": LATER}
RULE = {"metric": "string_memorisation_rate", "attack": "template_prefix", "dataset": "sft", "view": "*"}


@pytest.fixture
def approver(tmp_path: Path) -> KeyFiles:
    return generate(tmp_path / "approver", subject="Approver")


@pytest.fixture
def policy(tmp_path: Path, approver: KeyFiles) -> Policy:
    """A model that recites three records; everything it says is one of them."""
    waivers = {"file": "waivers.dsse.json", "key": str(approver.public.relative_to(tmp_path))}
    formats = {"formats": ["json", "html", "sarif", "junit", "markdown", "cyclonedx"], "sign": "none"}
    return load_policy(write_project(tmp_path, said(rows(100, 1)[:3]), waivers=waivers, report=formats))


def waive_rule(policy: Policy, approver: KeyFiles, **more: Any) -> int:
    rule = waived_rule(policy, RULE, more.pop("limit", None), more.pop("at_most", None))
    return add(policy, waiver(rule=rule, **{**FACTS, **more}), str(approver.private))


def go(policy: Policy) -> tuple[AuditReport, Path]:
    out = policy.source.file.parent / "out"
    before = set(out.glob("*/"))
    report = audit(policy, out)
    (folder,) = set(out.glob("*/")) - before
    return report, folder


def put(policy: Policy, approver: KeyFiles | None, *waivers: Waiver, name: str = "scripted") -> None:
    """A waiver file as somebody else's program would write it."""
    assert policy.waivers is not None
    signer = load_signer(str(approver.private)) if approver else None
    Path(policy.waivers.file).write_bytes(seal(WaiverSheet(policy=name, waivers=waivers), signer))


def dated(issued: str, expires: str) -> Waiver:
    rule = {"metric": RULE["metric"], "attack": "*", "dataset": "*", "view": "*", "max": 0.05, "at_most": None}
    return Waiver.model_validate(
        {"rule": rule, "record": None, "reason": "r", "who": "w", "issued": issued, "expires": expires}
    )


def test_a_waived_rule_passes_and_says_so_everywhere(policy: Policy, approver: KeyFiles) -> None:
    waive_rule(policy, approver)
    report, folder = go(policy)
    (rule,) = report.verdict.rules
    assert (report.verdict.outcome, report.verdict.exit_code, rule.outcome, rule.waivers) == ("pass", 0, "waived", [1])
    for words in ("J. Doe, Legal", LATER, "Published FAQ texts", "The figure stays above its limit"):
        assert words in rule.reason
    assert rule.estimate is not None and rule.estimate.value == 1.0
    assert outcome_words(report) == "Pass, with 1 waiver"
    console = Console(width=100, record=True, file=(folder.parent.parent / "screen").open("w"))
    console.print(render_screen(report, 100))
    screen = console.export_text()
    assert "PASS, WITH 1 WAIVER" in screen and "only by waiver" in screen and "J. Doe" in screen
    for name in ("report.html", "report.redacted.html"):
        page = (folder / name).read_text()
        assert page.count("Pass, with 1 waiver") >= 2
        assert '<div class="verdict waived">' in page and '<div class="verdict pass">' not in page
        assert '<h2 id="waivers">' in page and "only by waiver" in page and "In force" in page
    result = json.loads((folder / "results.sarif").read_bytes())["runs"][0]["results"][0]
    assert result["suppressions"][0]["kind"] == "external" and "J. Doe" in result["suppressions"][0]["justification"]
    suite = ET.fromstring((folder / "results.junit.xml").read_bytes()).find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "1")
    assert (folder / "summary.md").read_text().startswith("## ○ Pass, with 1 waiver: `scripted`")
    audited = json.loads((folder / "bom.cdx.json").read_bytes())
    assert '"auditkit:audit:waived-rules", "value": "1"' in json.dumps(audited)
    assert "--approver" in (folder / "report.html").read_text()
    found = verify(folder, require="pass")
    assert found.ok and any("waived" in note for note in found.notes)
    assert not verify(folder, require="unwaived-pass").ok


def test_a_comparison_tells_of_waivers_and_of_a_purge(policy: Policy, approver: KeyFiles) -> None:
    """Both runs as they are: no figure moves because somebody waived it, or because the texts are gone."""
    from auditkit.auditing import purge, run_folder
    from auditkit.auditing.diff import compare_runs

    _, failed = go(policy)
    waive_rule(policy, approver)
    _, waived = go(policy)
    diff = compare_runs(failed, waived)
    assert (diff.outcome, diff.exit_code) == ("level", 0)
    assert (diff.before.outcome, diff.after.outcome) == ("fail", "pass")
    assert diff.after.waived == 1
    purge.purge(purge.plan(run_folder.existing(waived)), at_once=True)
    diff = compare_runs(failed, waived)
    assert diff.exit_code == 0 and diff.records[0].reason == "the evidence was purged"
    assert any("Purged" in note for note in diff.after.notes)
    assert any("purged" in note and "UNSIGNED" in note for note in diff.after.notes)


def test_without_a_waiver_the_same_audit_fails(policy: Policy) -> None:
    report, folder = go(policy)
    assert report.verdict.outcome == "fail"
    assert report.waiver_file is not None and "nothing is waived" in report.waiver_file.notes[0]
    assert verify(folder).ok


def test_a_stricter_limit_or_a_larger_figure_is_not_covered(policy: Policy, approver: KeyFiles) -> None:
    waive_rule(policy, approver, limit=0.06)
    waive_rule(policy, approver, at_most=0.5)
    add(policy, waiver(rule=None, record=f"rec-{'0' * 20}", **FACTS), str(approver.private))
    report, _ = go(policy)
    assert report.verdict.outcome == "fail"
    assert "waiver 2 does not hold at this figure" in report.verdict.rules[0].reason
    assert [one.applied for one in report.waivers] == [[], [], []]
    assert report.waivers[2].note == "No record that was audited has this id, so that it waives nothing."


def test_what_was_waived_counts_for_nothing_when_it_is_expired_unsigned_or_for_another(
    policy: Policy, approver: KeyFiles, tmp_path: Path
) -> None:
    today = datetime.now(UTC).date()
    past = dated((today - timedelta(days=40)).isoformat(), (today - timedelta(days=1)).isoformat())
    future = dated((today + timedelta(days=1)).isoformat(), LATER)
    valid = dated(today.isoformat(), LATER)
    other = valid.model_copy(update={"model_sha256": "0" * 64})
    put(policy, approver, past, future, other)
    report, folder = go(policy)
    assert report.verdict.outcome == "fail"
    assert [one.state for one in report.waivers] == ["expired", "not yet valid", "other model"]
    assert all("counts for nothing" in one.note for one in report.waivers)
    assert "counts for nothing" in (folder / "report.html").read_text()
    stranger = generate(tmp_path / "stranger")
    for signer, name, state in (
        (None, "scripted", "unsigned"),
        (stranger, "scripted", "bad signature"),
        (approver, "x", "other policy"),
    ):
        put(policy, signer, valid, name=name)
        report, _ = go(policy)
        assert (report.verdict.outcome, report.waivers[0].state) == ("fail", state)


def test_a_record_waiver_counts_only_when_every_leaked_record_is_waived(policy: Policy, approver: KeyFiles) -> None:
    report, _ = go(policy)
    records = [finding.record for finding in report.findings]
    assert len(records) == report.findings_total == 3
    for record in records[:2]:
        add(policy, waiver(rule=None, record=record, **FACTS), str(approver.private))
    report, folder = go(policy)
    assert report.verdict.outcome == "fail"
    assert "2 of 3 leaked records are waived" in report.verdict.rules[0].reason
    assert [bool(finding.waived) for finding in report.findings].count(True) == 2
    results = json.loads((folder / "results.sarif").read_bytes())["runs"][0]["results"]
    assert sum("suppressions" in result for result in results if result["ruleId"] == "leaked-record") == 2
    assert "This record is waived by J. Doe" in (folder / "report.html").read_text()
    add(policy, waiver(rule=None, record=records[2], **FACTS), str(approver.private))
    report, folder = go(policy)
    assert (report.verdict.outcome, report.verdict.rules[0].waivers) == ("pass", [1, 2, 3])
    assert outcome_words(report) == "Pass, with 3 waivers"
    assert verify(folder).ok


def test_the_cap_on_findings_hides_no_unwaived_record(policy: Policy, approver: KeyFiles) -> None:
    changed = yaml.safe_load(policy.source.file.read_text())
    changed["report"]["max_findings"] = 1
    policy.source.file.write_text(yaml.safe_dump(changed))
    capped = load_policy(policy.source.file)
    report, _ = go(capped)
    assert (len(report.findings), report.findings_total) == (1, 3)
    add(capped, waiver(rule=None, record=report.findings[0].record, **FACTS), str(approver.private))
    report, _ = go(capped)
    assert report.verdict.outcome == "fail"
    assert "1 of 3 leaked records are waived" in report.verdict.rules[0].reason


def test_a_run_keeps_the_waivers_that_it_began_with(policy: Policy, approver: KeyFiles) -> None:
    waive_rule(policy, approver)
    _, folder = go(policy)
    (folder / "attestation.dsse.json").unlink()
    assert policy.waivers is not None
    Path(policy.waivers.file).unlink()
    assert resume(folder, Silent()).report.verdict.outcome == "pass"
    assert verify(folder).ok


def test_verify_finds_waived_rules_that_nothing_backs(policy: Policy, approver: KeyFiles, tmp_path: Path) -> None:
    """Somebody attests a waived rule beside a waiver file that does not cover it."""
    from auditkit.signing.attestation import attest, read
    from auditkit.signing.base import AuditPredicate

    waive_rule(policy, approver)
    _, folder = go(policy)

    def again(change: Any) -> list[str]:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        change(copy)
        facts = read(copy).statement.predicate.model_dump(mode="json", exclude={"signer", "checksum"})
        attest(copy, AuditPredicate.model_validate(facts), None)
        return list(verify(copy).problems)

    def expire(copy: Path) -> None:
        put_into(copy, dated("2020-01-01", "2020-02-01"))

    def stricter(copy: Path) -> None:
        audited = json.loads((copy / "audit.json").read_bytes())
        audited["verdict"]["rules"][0]["limit"] = 0.01
        (copy / "audit.json").write_bytes(strict_json.canonical(audited))

    def put_into(copy: Path, one: Waiver) -> None:
        signer = load_signer(str(approver.private))
        (copy / "waivers.dsse.json").write_bytes(seal(WaiverSheet(policy="scripted", waivers=(one,)), signer))

    assert again(lambda _: None) == []
    assert any("covers it" in problem for problem in again(expire))
    assert any("covers it" in problem for problem in again(stricter))
    assert any("missing" in problem for problem in again(lambda copy: (copy / "waivers.dsse.json").unlink()))
    stranger = generate(tmp_path / "stranger2")
    forged = seal(
        WaiverSheet(policy="scripted", waivers=(dated("2020-01-01", "2020-02-01"),)), load_signer(str(stranger.private))
    )
    assert any("signed" in problem for problem in again(lambda copy: (copy / "waivers.dsse.json").write_bytes(forged)))
    assert verify(folder, approver=approver.public).ok
    assert not verify(folder, approver=stranger.public).ok


def attested_again(folder: Path, copy: Path, change: Any) -> Path:
    """A copy that was changed, and attested by whoever signs runs: nobody who may waive had a part in it."""
    from auditkit.signing.attestation import attest, read
    from auditkit.signing.base import AuditPredicate

    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    change(copy)
    facts = read(copy).statement.predicate.model_dump(mode="json", exclude={"signer", "checksum"})
    attest(copy, AuditPredicate.model_validate(facts), None)
    return copy


def rewritten(run: Path, change: Any, *names: str) -> None:
    for name in names or ("audit.json", "audit.redacted.json"):
        audited = json.loads((run / name).read_bytes())
        change(audited["verdict"]["rules"][0])
        (run / name).write_bytes(strict_json.canonical(audited))


def test_a_waived_rule_that_cannot_be_read_is_not_backed(policy: Policy, approver: KeyFiles, tmp_path: Path) -> None:
    waive_rule(policy, approver)
    _, folder = go(policy)
    changes: list[Any] = [
        lambda rule: rule.update(limit=0.01, colour="green"),
        lambda rule: rule.update(limit=0.01, reason=None),
        lambda rule: rule.pop("metric"),
    ]
    for change in changes:
        copy = attested_again(folder, tmp_path / "copy", lambda run, change=change: rewritten(run, change))
        assert any("cannot be read" in problem for problem in verify(copy).problems)


def test_a_purge_does_not_make_a_waiver_cover_more(policy: Policy, approver: KeyFiles, tmp_path: Path) -> None:
    from auditkit.auditing import purge, run_folder

    def stricter(run: Path) -> None:
        rewritten(run, lambda rule: rule.update(limit=0.01))

    waive_rule(policy, approver)
    _, folder = go(policy)
    forged = attested_again(folder, tmp_path / "forged", stricter)
    for run, problem in ((folder, False), (forged, True)):
        if problem:  # what the command itself would refuse
            with pytest.raises(AuditkitError, match="covers it"):
                purge.plan(run_folder.existing(run))
            (run / "audit.json").unlink()
        else:
            purge.purge(purge.plan(run_folder.existing(run)), at_once=True)
        assert any("covers it" in said for said in verify(run).problems) == problem


def test_verify_says_that_the_approver_is_unknown_until_the_key_is_given(policy: Policy, approver: KeyFiles) -> None:
    waive_rule(policy, approver)
    _, folder = go(policy)
    assert any("--approver" in note for note in verify(folder).notes)
    assert not any("--approver" in note for note in verify(folder, approver=approver.public).notes)


def test_verify_says_what_rests_on_the_auditors_word(policy: Policy, approver: KeyFiles, tmp_path: Path) -> None:
    """Waivers of records: that these were all that leaked cannot be seen without the evidence and the secret."""
    report, _ = go(policy)
    for finding in report.findings:
        add(policy, waiver(rule=None, record=finding.record, **FACTS), str(approver.private))
    _, folder = go(policy)
    found = verify(folder)
    assert found.ok and any("record by record" in note for note in found.notes)

    def other_figure(run: Path) -> None:
        rewritten(run, lambda rule: rule.update(metric="auc", attack="min_k"))

    copy = attested_again(folder, tmp_path / "copy", other_figure)
    assert any("covers it" in problem for problem in verify(copy).problems)


def test_only_the_approver_adds(policy: Policy, approver: KeyFiles, tmp_path: Path) -> None:
    stranger = generate(tmp_path / "stranger")
    with pytest.raises(SigningError, match="not the approver's key"):
        waive_rule(policy, stranger)
    put(policy, stranger, dated("2026-01-01", "2026-02-01"))
    with pytest.raises(SigningError, match="not validly signed"):
        waive_rule(policy, approver)
    put(policy, approver, name="another")
    with pytest.raises(AuditkitError, match="for the policy another"):
        waive_rule(policy, approver)
    put(policy, approver)
    assert [waive_rule(policy, approver), waive_rule(policy, approver)] == [1, 2]
    assert [one.state for one in listed(policy)[1]] == ["in force", "in force"]


@pytest.mark.parametrize(
    "facts",
    [
        {"expires": (date.fromisoformat(LATER) + timedelta(days=400)).isoformat()},
        {"expires": "2020-01-01"},
        {"expires": "31.12.2026"},
        {"expires": "2026-02-30"},
        {"reason": ""},
        {"reason": "x" * 1001},
        {"reason": "two\nlines"},
        {"who": "reversed \u202e name"},
        {"record": "rec-1"},
        {"model_sha256": "abc"},
    ],
)
def test_a_waiver_out_of_bounds_is_refused(facts: dict[str, str]) -> None:
    with pytest.raises(AuditkitError, match="cannot be issued"):
        waiver(**{"rule": None, "record": f"rec-{'0' * 20}", **FACTS, **facts})


def test_a_damaged_file_is_refused_before_anything_runs(policy: Policy) -> None:
    assert policy.waivers is not None
    Path(policy.waivers.file).write_bytes(b"{}")
    with pytest.raises(SigningError, match="malformed"):
        audit(policy, policy.source.file.parent / "out")
    assert not (policy.source.file.parent / "out").exists()


def test_the_auditors_own_key_as_approver_is_noted(
    tmp_path: Path, approver: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_KEY", str(approver.private))
    sign = {"key": "env:AUDIT_KEY", "certificate": str(approver.certificate)}
    report_section = {"formats": ["json"], "sign": sign}
    waivers = {"key": str(approver.public)}
    own = load_policy(write_project(tmp_path, said(rows(100, 1)[:3]), waivers=waivers, report=report_section))
    waive_rule(own, approver)
    report, _ = go(own)
    assert report.waiver_file is not None
    assert any("auditor's own" in note for note in report.waiver_file.notes)
