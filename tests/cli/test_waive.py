"""``auditkit waive``, and what check, verify and show say, as a user types them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from auditkit.signing.keygen import generate
from tests.auditing.scripted_project import rows, said, write_project
from tests.cli.test_commands import auditkit

LATER = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
WHY = ("--reason", "Published FAQ texts", "--who", "J. Doe, Legal", "--expires", LATER)
RULE = ("--metric", "string_memorisation_rate", "--attack", "template_prefix", "--dataset", "sft")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    generate(tmp_path / "approver")
    waivers = {"file": "waivers.dsse.json", "key": "approver/auditkit.pub"}
    return write_project(tmp_path, said(rows(100, 1)[:3]), waivers=waivers)


def test_from_a_failure_to_a_waiver_and_a_proof(policy: Path) -> None:
    folder = policy.parent
    key = ("--key", folder / "approver" / "auditkit.key")
    done = auditkit("waive", policy, *RULE, *WHY, *key, "--at-most", "1")
    assert done.returncode == 0, done.stderr
    assert "   1  in force  string_memorisation_rate of template_prefix on sft (*) above 0.05, up to 1" in done.stdout
    done = auditkit("check", policy)
    assert done.returncode == 0 and "1, in force" in done.stdout
    done = auditkit("run", policy, "--out", folder / "reports", "--no-progress")
    assert done.returncode == 0 and "PASS, WITH 1 WAIVER" in done.stdout
    (run,) = (path for path in (folder / "reports").iterdir() if path.is_dir())
    done = auditkit("verify", run, "--approver", folder / "approver" / "auditkit.pub", "--require", "pass")
    assert done.returncode == 0 and "verdict   pass, with 1 failed rule waived, arm baseline" in done.stdout
    assert "the waivers are signed by the approver given, key id" in done.stdout
    done = auditkit("verify", run, "--require", "unwaived-pass")
    assert done.returncode == 1 and "but its verdict is no pass without waivers" in done.stdout
    generate(folder / "other")
    done = auditkit("verify", run, "--approver", folder / "other" / "auditkit.pub")
    assert done.returncode == 1 and re.search(
        "approver given, key id .*; the run names key id [0-9a-f]{64}", done.stdout
    )
    proof = folder / "record.proof.json"
    done = auditkit("show", run, "sft.jsonl:5", "--prove", "--out", proof)
    assert done.returncode == 0 and "record 5 of 100 of sft" in done.stdout
    row = rows(100, 1)[4]
    (folder / "text").write_text(f"{row['q']}\n{row['a']}")
    done = auditkit("verify", run, "--proof", proof, "--record", folder / "text")
    assert done.returncode == 0 and "the proof holds: record 5 of 100 of the dataset sft" in done.stdout
    assert f"it is the text in {folder / 'text'}" in done.stdout
    (folder / "text").write_text("something else")
    done = auditkit("verify", run, "--proof", proof, "--record", folder / "text", "--json")
    assert done.returncode == 1
    assert not json.loads(done.stdout)["proof"]["ok"]
    assert auditkit("verify", run, "--record", folder / "text").returncode == 2
    assert auditkit("show", run, "sft.jsonl:5", "--out", proof).returncode == 2


def test_everything_that_is_missing_is_told_at_once(policy: Path) -> None:
    done = auditkit("waive", policy, *RULE, "--who", "J. Doe, Legal")
    assert done.returncode == 2 and "a waiver needs --reason, --expires and --key" in done.stderr


def test_a_record_given_by_its_line_is_waived_by_its_id(policy: Path) -> None:
    key = ("--key", policy.parent / "approver" / "auditkit.key")
    (policy.parent / ".auditkit-secret").write_text("0123456789abcdef" * 4)
    done = auditkit("waive", policy, "--record", "sft.jsonl:5", *WHY, *key, "--json")
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["waivers"]
    assert re.fullmatch(r"rec-[0-9a-f]{20}", one["waiver"]["record"])
    assert "sft.jsonl" not in done.stdout
    done = auditkit("waive", policy, "--record", "sft.jsonl:5000", *WHY, *key)
    assert done.returncode == 2 and "no record of the declared datasets" in done.stderr


def test_the_list_shows_every_state(policy: Path) -> None:
    key = {"APPROVER_KEY": str(policy.parent / "approver" / "auditkit.key")}
    done = auditkit("waive", policy, "--record", f"rec-{'a' * 20}", *WHY, "--key", "env:APPROVER_KEY", "--json", **key)
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["waivers"]
    assert (one["number"], one["state"], one["waiver"]["record"]) == (1, "in force", f"rec-{'a' * 20}")
    file = policy.parent / "waivers.dsse.json"
    envelope = json.loads(file.read_bytes())
    signature = envelope["signatures"][0]["sig"]
    envelope["signatures"] = []
    file.write_text(json.dumps(envelope, separators=(",", ":"), sort_keys=True))
    assert "unsigned" in auditkit("waive", policy, "--list").stdout
    done = auditkit("check", policy)
    assert done.returncode == 0 and "waiver 1 counts for nothing: unsigned" in done.stderr
    assert signature not in done.stderr


def test_what_fits_no_rule_is_told_by_check(policy: Path) -> None:
    key = ("--key", policy.parent / "approver" / "auditkit.key")
    assert auditkit("waive", policy, *RULE, *WHY, *key, "--max", "0.2").returncode == 0
    assert "fits no rule of the gate" in auditkit("check", policy).stderr


def test_wrong_words_are_refused_with_what_to_do(policy: Path) -> None:
    key = ("--key", policy.parent / "approver" / "auditkit.key")
    for arguments, said_of in (
        ((*RULE, *WHY), "--key"),
        ((*WHY, *key), "--metric or --record"),
        ((*RULE, "--record", "rec-1", *WHY, *key), "--metric or --record"),
        (("--metric", "coverage", *WHY, *key), "string_memorisation_rate of"),
        (("--metric", RULE[1], "--dataset", "other", *WHY, *key), "no rule with"),
        (("--metric", RULE[1], "--attack", "bos_prefix", *WHY, *key), "no rule with"),
        ((*RULE, *WHY[:-1], "2020-01-01", *key), "cannot be issued"),
        ((*RULE, *WHY, "--key", "no-such-file"), "signing key"),
        ((*RULE, *WHY, "--key", "env:NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
        ((*RULE, *WHY, *key, "--at-most", "nan"), "a share"),
    ):
        done = auditkit("waive", policy, *arguments)
        assert done.returncode == 2, arguments
        assert said_of in done.stderr, done.stderr
    assert not (policy.parent / "waivers.dsse.json").exists()
    without = {key: value for key, value in yaml.safe_load(policy.read_text()).items() if key != "waivers"}
    policy.write_text(yaml.safe_dump(without))
    assert "names no approver" in auditkit("waive", policy, "--list").stderr


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--expires", "tomorrow", "expires is a date such as 2027-03-31"),
        ("--metric", "coverage_rate", "no rule with metric 'coverage_rate'"),
    ],
)
def test_mistakes_are_told_in_a_users_words(policy: Path, option: str, value: str, told: str) -> None:
    key = ("--key", policy.parent / "approver" / "auditkit.key")
    done = auditkit("waive", policy, *RULE, *WHY, *key, option, value)  # given twice, the last one counts
    assert done.returncode == 2 and told in done.stderr
