"""What is asked of whoever waives: each mistake is refused in the words of the options, with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from auditkit.auditing.declared_records import record_id
from auditkit.auditing.preflight_waivers import waivers_told
from auditkit.auditing.waiver_desk import listed, listed_for_the_model, waived_rule, waiver, withdraw
from auditkit.cli.waive import waive
from auditkit.errors import AuditkitError
from auditkit.policy.load import load_policy
from auditkit.policy.schema import Policy
from auditkit.signing.keygen import generate
from tests.auditing.scripted_project import rows, said, write_project

LATER = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
TOO_LATE = (datetime.now(UTC).date() + timedelta(days=400)).isoformat()
FACTS = {"reason": "Published FAQ texts", "who": "J. Doe, Legal", "expires": LATER}
RULE = {"metric": "string_memorisation_rate", "attack": "template_prefix", "dataset": "sft", "view": "*"}
OPTIONS = ("--metric", RULE["metric"], "--reason", "r", "--who", "w", "--expires", LATER)

Typed = Callable[..., Result]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generate(tmp_path / "approver")
    waivers = {"file": "waivers.dsse.json", "key": "approver/auditkit.pub"}
    return write_project(tmp_path, said(rows(100, 1)[:3]), waivers=waivers)


@pytest.fixture
def policy(file: Path) -> Policy:
    return load_policy(file)


@pytest.fixture
def typed(file: Path) -> Typed:
    def call(*arguments: Any, key: bool = True) -> Result:
        given = ("--key", file.parent / "approver" / "auditkit.key") if key else ()
        return CliRunner().invoke(waive, [str(one) for one in (file, *arguments, *given)])

    return call


def refusal(done: Result) -> str:
    """What the user is told."""
    assert isinstance(done.exception, AuditkitError), done.output
    return f"{done.exception.message}\n{done.exception.hint}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--at-most", "0.05"), "--at-most 0.05 is not above the limit, 0.05"),
        (("--at-most", "0.03", "--max", "0.01"), "--at-most 0.03 is not above the limit, 0.05"),
        (("--at-most", "13"), "--at-most is a share, from 0 to 1"),
        (("--max", "2"), "--max is a share, from 0 to 1"),
        (("--model-sha256", "abc"), "model_sha256 is a SHA-256 as the report prints it: 64 hex digits"),
        (("--expires", TOO_LATE), f"it expires on {TOO_LATE}, and one issued on"),
        (("--metric", "string_memorization_rate"), "did you mean 'string_memorisation_rate'?"),
        (("--attack", "template_prefx"), "did you mean 'template_prefix'?"),
    ],
)
def test_a_mistake_is_told_in_the_words_of_the_options(typed: Typed, options: tuple[str, ...], told: str) -> None:
    assert told in refusal(typed(*OPTIONS, *options))


def test_a_key_that_is_not_there_is_told_without_a_word_of_policies(typed: Typed) -> None:
    told = refusal(typed(*OPTIONS, "--key", "env:NO_SUCH_VARIABLE", key=False))
    assert "environment variable NO_SUCH_VARIABLE is not set" in told and "sign: none" not in told
    told = refusal(typed(*OPTIONS, "--key", "secret-word.key", key=False))
    assert "no signing key at the path given" in told and "variable" not in told and "secret-word" not in told


def test_a_waiver_up_to_a_figure_above_the_limit_stands(policy: Policy) -> None:
    assert waived_rule(policy, RULE, None, 0.06).at_most == 0.06


def test_a_record_that_nobody_has_is_refused_with_the_nearest(policy: Policy, typed: Typed, file: Path) -> None:
    (file.parent / ".auditkit-secret").write_text("0123456789abcdef" * 4)
    known = record_id(policy, "sft.jsonl:5")
    near = known[:-1] + ("0" if known[-1] != "0" else "1")
    facts = OPTIONS[2:]
    assert f"did you mean {known}?" in refusal(typed("--record", near, *facts))
    assert "no record of the declared datasets" in refusal(typed("--record", f"rec-{'0' * 20}", *facts))
    assert "did you mean sft.jsonl:5?" in refusal(typed("--record", "sft.jsnl:5", *facts))
    assert typed("--record", known, *facts).exit_code == 0


def test_who_has_no_data_is_told_that_the_record_was_not_looked_for(typed: Typed) -> None:
    done = typed("--record", f"rec-{'0' * 20}", *OPTIONS[2:])
    assert done.exit_code == 0 and "whether any record has this id was not checked" in done.stderr


def test_a_waiver_can_be_withdrawn(policy: Policy, typed: Typed) -> None:
    for reason in ("first", "second", "third"):
        assert typed(*OPTIONS, "--reason", reason).exit_code == 0
    done = typed("--withdraw", "2", "--json")
    assert done.exit_code == 0 and "waiver 2 was withdrawn" in done.stderr
    left = [(one["number"], one["waiver"]["reason"]) for one in json.loads(done.stdout)["waivers"]]
    assert left == [(1, "first"), (2, "third")]
    source, _ = listed(policy)
    assert source.found is not None and source.found.by_approver
    assert "there is no waiver 3: the file holds 2" in refusal(typed("--withdraw", "3"))
    assert "--key" in refusal(typed("--withdraw", "1", key=False))
    with pytest.raises(AuditkitError, match="there is no waiver 0"):
        withdraw(policy, 0, str(Path(policy.source.file).parent / "approver" / "auditkit.key"))


def test_an_unsigned_file_is_called_so_and_one_by_another_key_is_not(policy: Policy, typed: Typed, file: Path) -> None:
    assert typed(*OPTIONS).exit_code == 0
    place = file.parent / "waivers.dsse.json"
    envelope = json.loads(place.read_bytes())
    signature = envelope["signatures"]
    for signatures, state in (([], "unsigned"), ([{**signature[0], "sig": "AAAA"}], "bad signature")):
        envelope["signatures"] = signatures
        place.write_text(json.dumps(envelope, separators=(",", ":"), sort_keys=True))
        assert [one.state for one in listed(policy)[1]] == [state]
        assert f"waiver 1 counts for nothing: {state}" in waivers_told(policy)[1]


def test_the_list_and_check_say_the_same_of_a_waiver_for_another_model(policy: Policy, typed: Typed) -> None:
    assert typed(*OPTIONS, "--model-sha256", "a" * 64).exit_code == 0
    assert [one.state for one in listed_for_the_model(policy)[1]] == ["other model"]
    assert "   1  other model" in typed("--list", key=False).stdout
    assert any("1, other model" in fact for fact in waivers_told(policy)[0])


def test_a_waiver_is_of_a_bounded_time() -> None:
    with pytest.raises(AuditkitError, match="may expire from that day to"):
        waiver(rule=None, record=f"rec-{'0' * 20}", **{**FACTS, "expires": TOO_LATE})
