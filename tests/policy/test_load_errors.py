# ruff: noqa: E501 (a table reads best with a row on a line)
"""What is wrong with a policy is said with its file, its line, and what was probably meant."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from auditkit.policy.load import load_policy
from tests.policy.sample import GOOD, SHA, Write, line_of, problems

# (what is written in place of what, the text whose line is blamed, what the message says, what the hint says)
CASES: dict[str, tuple[str, str, str, str, str]] = {
    "unknown key at the top": ("name: support", "nme: x\nname: support", "nme: x", "unknown key 'nme'", "'name'"),
    "unknown key in a section": ("prompt: question,", "promt: q, prompt: question,", "promt", "datasets[0].fields.promt", "'prompt'"),
    "unknown key in a plug-in": ("samples: 20}", "samples: 20, sampls: 5}", "sampls", "attacks[1].sampls", "'samples'"),
    "unknown key in a nested plug-in": ("prefix: auto", "prefix: {litral: x}", "litral", "unknown key 'litral'", "'literal'"),
    "missing key in a nested plug-in": ("prefix: auto", "prefix: {litral: x}", "litral", "`attacks[0].prefix` lacks 'literal'", ""),
    "unknown kind": ("kind: template_prefix, s", "kind: template_prefx, s", "prefx", "unknown kind 'template_prefx'", "'template_prefix'"),
    "unknown backend": ("backend: scripted", "backend: scriptd", "scriptd", "unknown backend 'scriptd'", "'scripted'"),
    "no kind": ("kind: bos_prefix, ", "", "{samples: 20}", "`attacks[1]` lacks 'kind'", "bos_prefix, chat_messages, guided_completion, literal_prefixes"),
    "kind that is no text": ("kind: bos_prefix", "kind: [1]", "kind: [1]", "`attacks[1].kind` should be text", "bos_prefix"),
    "a plug-in that is no mapping": ("embedder: {kind: default}", "embedder: default", "embedder", "mapping with a kind", "{kind: ...}"),
    "missing key": ("    stage: sft\n", "", "- name: sft", "`datasets[0]` lacks 'stage'", ""),
    "missing section": ("version: 1\n", "", "name: supp", "the policy lacks 'version'", ""),
    "one of a few": ("stage: sft", "stage: stf", "stage: stf", "'sft', 'dpo', 'rl' or 'midtrain'", "'sft'"),
    "text for a number": ("samples: 200", "samples: '200'", "'200'", "should be a whole number, and is the text '200'", "write 200"),
    "separated number": ("samples: 200", "samples: 1_000", "1_000", "should be a whole number, and is the text '1_000'", "write 1000"),
    "float for a whole number": ("samples: 200", "samples: 2e2", "2e2", "should be a whole number, and is 200.0", "write 200"),
    "sexagesimal": ("samples: 200", "samples: 12:30:00", "12:30:00", "is the text '12:30:00'", ""),
    "octal": ("samples: 200", "samples: 0777", "0777", "0777 means one number in YAML 1.1 and another", "0o777"),
    "yes is text": ("max: 0.01", "max: yes", "max: yes", "`gate[0].max` should be a number, and is the text 'yes'", ""),
    "true is no number": ("samples: 200", "samples: true", "true", "should be a whole number, and is true", ""),
    "too large": ("max: 0.01", "max: 1.5", "1.5", "`gate[0].max` should be at most 1, and is 1.5", ""),
    "too small": ("samples: 200", "samples: 0", "samples: 0", "should be at least 1", ""),
    "huge integer": ("samples: 200", "samples: " + "9" * 5000, "999", "a number of 5,000 characters", "quote it"),
    "long integer": ("samples: 200", "samples: " + "9" * 30, "999", "should be at most 1e+07", ""),
    "not a number": ("max: 0.01", "max: .nan", ".nan", ".nan is not a number that a policy can use", ""),
    "infinite": ("max: 0.01", "max: 1e999", "1e999", "1e999 is too large", ""),
    "list for a mapping": ("{calibrate_fpr: 0.01}", "[1]", "semantic", "a number or a mapping with calibrate_fpr, and is a list", ""),
    "misspelt part of a union": ("calibrate_fpr: 0.01", "calibrate_fp: 0.01", "calibrate_fp:", "unknown key 'calibrate_fp'", "'calibrate_fpr'"),
    "mapping for a list": ("  - {metric", "  {metric", "gate", "`gate` should be a list, and is a mapping", ""),
    "a key of another backend": ("backend: scripted", "signature: {key: x}, backend: scripted", "signature", "unknown key 'signature'", "backend: transformers or vllm"),
    "no address": ("cert.pem}", "cert.pem, timestamp: tsa}", "timestamp", "`report.sign.timestamp` should be an address such as https://", ""),
    "empty value": ("stage: sft", "stage:", "stage:", "`datasets[0].stage` should be", ""),
    "bad name": ("name: support-bot-1.2", "name: 'a b'", "name: 'a b'", "letters, digits", ""),
    "text where none or a mapping is meant": ("{key: env:AUDITKIT_KEY, certificate: cert.pem}", "nonee", "nonee", "should be 'none', or a mapping with key, certificate", "'none'"),
    "fields of two shapes": ("prompt: question, r", "messages: m, r", "messages", "'messages' stands alone", ""),
    "duplicate dataset": ("attacks:\n", "  - {name: sft, stage: sft, path: script.jsonl, fields: {prompt: q}, controls: script.jsonl}\nattacks:\n", "{name: sft", "two datasets are called 'sft' (the first on line 7)", "rename"),
    "duplicate attack": ("samples: 200, prefix: auto}\n  - {kind: bos_prefix", "samples: 200, name: a}\n  - {name: a, kind: bos_prefix", "{name: a", "two attacks are called 'a'", "rename"),
    "rule on no attack": ("attack: template_prefix", "attack: template_prefx", "attack: template_prefx", "'template_prefx' is no attack of this policy", "'template_prefix'"),
    "rule on no dataset": ('dataset: "*"', "dataset: sftt", "sftt", "'sftt' is no dataset of this policy", "'sft'"),
    "rule on no metric": ("metric: adjusted_coverage", "metric: adjusted_coverag", "adjusted_coverag,", "should be 'adjusted_coverage'", "'adjusted_coverage'"),
    "adjusted without controls": ("    controls: data/controls.jsonl\n", "", "metric:", "adjusted_coverage needs controls, and dataset 'sft' has none", "controls"),
    "calibrated without controls": ("    controls: data/controls.jsonl\n", "", "- name: sft", "dataset 'sft' has no controls", "fixed threshold"),
    "strings of no sample": ("string_sample: 100\ngate:\n", "string_sample: 0\ngate:\n  - {metric: string_memorisation_rate, max: 0.1}\n", "string_memorisation_rate", "nothing produces string_memorisation_rate", "string_sample"),
    "unknown arm": ("arm: baseline", "arm: basline", "arm: basline", "no arm is called 'basline'", "'baseline'"),
    "missing data": ("path: data/members.jsonl", "path: data/member.jsonl", "data/member.jsonl", "does not exist", "'members.jsonl'"),
    "no data": ("path: data/members.jsonl", 'path: ""', 'path: ""', "`datasets[0].path` is empty", "hub://"),
    "number for a name": ("name: support-bot-1.2", "name: 1.2", "name: 1.2", "`name` should be text, and is 1.2", "quotes"),
    "empty section": ("release: {organisation: Example AI, access: open-weights, arm: baseline}", "release:", "release:", "should be a mapping with organisation", ""),
    "missing controls": ("controls: data/controls.jsonl", "controls: data/nothing.jsonl", "nothing", "does not exist", ""),
    "a path with a null byte": ("path: data/members.jsonl", 'path: "a\\0b"', "a\\0b", "not a usable file name", ""),
    "a foreign address": ("path: data/members.jsonl", "path: s3://bucket/x.jsonl", "s3://", "is no path", "hub://"),
    "hub without a revision": ("path: data/members.jsonl", "path: hub://org/name", "hub://", "not pinned to a commit", "40"),
    "hub at a branch": ("path: data/members.jsonl", "path: hub://org/name@main", "hub://", "not pinned to a commit", "40"),
    "hub at a short commit": ("path: data/members.jsonl", "path: hub://org/name@0123abc", "hub://", "not pinned to a commit", "40"),
    "external embedder": ("embedder: {kind: default}", "embedder: {kind: gemini}", "external_processing: forbid", "the embedder gemini sends texts away, which dataset 'sft' forbids", "allow"),
    "a literal key": ("key: env:AUDITKIT_KEY", "key: hunter2", "hunter2", "`report.sign.key` should name an environment variable", "env:NAME"),
    "a literal secret": ("formats:", "secret: hunter2, formats:", "hunter2", "`report.secret` should name an environment variable", "env:NAME"),
    "unknown format": ("formats: [html, json]", "formats: [html, sarf]", "sarf", "`report.formats[1]` should be 'json', 'html'", "'sarif'"),
    "a format that is no text": ("formats: [html, json]", "formats: [html, 7]", "formats", "`report.formats[1]` should be text", "quotes"),
    "duplicate key": ("    stage: sft\n", "    stage: sft\n    stage: dpo\n", "stage: dpo", "`datasets[0].stage` is given twice: lines 8 and 9", "keep one"),
    "alias": ("fields: {prompt: question, response: answer}", "fields: *shared", "*shared", "the alias 'shared' is not allowed", "extends"),
    "tag": ("name: support-bot-1.2", "name: !!python/object/apply:os.system [x]", "!!python", "python/object/apply:os.system' is not allowed", ""),
    "key that is no text": ("version: 1", "version: 1\n? [a]\n: 1", "? [a]", "a key should be plain text", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_kind_of_error_has_its_line_and_its_remedy(write: Write, case: tuple[str, str, str, str, str]) -> None:
    old, new, blamed, message, hint = case
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    path = write(text)
    found = [p for p in problems(path) if message in p.message]
    assert found, f"nothing says {message!r}:\n" + "\n".join(map(str, problems(path)))
    assert found[0].file == path
    assert found[0].line == line_of(text, blamed)
    assert hint in found[0].hint


def test_a_gate_without_a_rule_is_an_error(write: Write) -> None:
    text = GOOD[: GOOD.index("gate:")] + "gate: []\n" + GOOD[GOOD.index("report:") :]
    (found,) = problems(write(text))
    assert found.line == line_of(text, "gate: []")
    assert found.message == "`gate` should not be empty"
    assert "verdict" in found.hint


def test_every_problem_comes_at_once(write: Write) -> None:
    text = (
        GOOD.replace("name: support", "nme: x\nname: support")
        .replace("stage: sft", "stage: stf")
        .replace("samples: 20}", "samples: 20, sampls: 5}")
        .replace("path: data/members.jsonl", "path: data/member.jsonl")
        .replace("max: 0.01", "max: 2")
        .replace("attack: template_prefix", "attack: template_prefx")
        .replace("key: env:AUDITKIT_KEY", "key: hunter2")
    )
    found = problems(write(text))
    assert [p.line for p in found] == sorted(line_of(text, part) for part in (
        "nme: x", "stage: stf", "member.jsonl", "sampls", "metric", "metric", "hunter2"))  # fmt: skip


def test_messages_are_for_people_and_give_no_secret_away(write: Write) -> None:
    text = (
        GOOD.replace("key: env:AUDITKIT_KEY", "key: hunter2")
        .replace("stage: sft", "stage: [1]")
        .replace("max: 0.01", "max: -1")
    )
    said = "\n".join(str(p) for p in problems(write(text), "report.secret=hunter2"))
    assert "hunter2" not in said
    for jargon in ("value_error", "pydantic", "http", "Input should", "type=", "ctx", "None"):
        assert jargon not in said


def test_control_characters_never_reach_a_message(write: Write) -> None:
    text = GOOD.replace("name: support", '"\\e[31mred\\e[0m\\u202e": 1\nname: support').replace(
        "stage: sft", 'stage: "\\e[2J"'
    )
    for problem in problems(write(text)):
        assert str(problem).replace("\n", "").isprintable()


def test_an_external_embedder_is_caught_even_where_its_parameters_are_wrong(write: Write) -> None:
    text = GOOD.replace("{kind: default}", "{kind: gemini, api_key: AIzaSecret}")
    said = [p.message for p in problems(write(text))]
    assert any("sends texts away" in message for message in said)
    assert any("environment variable" in message for message in said)
    assert not any("AIzaSecret" in message for message in said)


def test_an_external_embedder_is_allowed_where_every_dataset_allows_it(write: Write) -> None:
    text = GOOD.replace("{kind: default}", "{kind: gemini}").replace(
        "external_processing: forbid", "external_processing: allow"
    )
    assert load_policy(write(text)).scoring.embedder.external


def test_unreadable_data_is_an_error(write: Write, folder: Path) -> None:
    os.mkfifo(folder / "data/pipe.jsonl")
    (found,) = problems(write(GOOD.replace("data/members.jsonl", "data/pipe.jsonl")))
    assert "neither a file nor a folder" in found.message


def test_a_folder_and_a_pinned_hub_dataset_are_data(write: Write, folder: Path) -> None:
    text = GOOD.replace("data/members.jsonl", "data").replace(
        "data/controls.jsonl", f"hub://org/name@{SHA}/part/test.parquet"
    )
    section = load_policy(write(text)).datasets[0]
    assert section.path == str(folder / "data")
    assert section.controls == f"hub://org/name@{SHA}/part/test.parquet"


@pytest.mark.parametrize(
    ("raw", "line", "message"),
    [
        (b"a: b: c", 1, "not valid YAML"),
        (b"a: 1\nb: [1, 2\n", 3, "not valid YAML"),
        (b"a:\n\t- b\n", 2, "not valid YAML"),
        (b"a: 1\n---\nb: 2\n", 2, "second document"),
        (b"", 1, "empty"),
        (b"- a\n- b\n", 1, "mapping"),
        (b"a: 1\nb: \x00\n", 2, "U+0000"),
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        ("a: 1\n".encode("utf-16"), 1, "UTF-8"),
        (b"a: " + b"[" * 100 + b"]" * 100, 1, "deep"),
        (b"[" * 900_000, 1, "deep"),
        (b"{a: " * 200_000, 1, "deep"),
        (b"? " * 400_000, 1, "deep"),
        (b"a: [" + b"1," * 400_000 + b"]", 1, "values"),
        (b"#" * 1_000_001, None, "bytes"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_policy_at_all_is_said_plainly(folder: Path, raw: bytes, line: int | None, message: str) -> None:
    path = folder / "policy.yaml"
    path.write_bytes(raw)
    last = problems(path)[-1]
    assert last.line == line
    assert message in last.message


def test_a_billion_laughs_costs_nothing(folder: Path) -> None:
    lines = ["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    (folder / "policy.yaml").write_text("\n".join(lines))
    started = time.perf_counter()
    found = problems(folder / "policy.yaml")
    assert time.perf_counter() - started < 5
    assert {p.line for p in found if "alias" in p.message} == set(range(2, 31))


def test_a_flood_of_problems_is_cut_and_says_so(write: Write) -> None:
    found = problems(write(GOOD + "".join(f"key{n}: 1\n" for n in range(300))))
    assert len(found) == 101
    assert found[-1].message == "and more problems than these"


def test_a_policy_of_nothing_but_mistakes_is_refused_in_time(write: Write) -> None:
    started = time.perf_counter()
    problems(write(GOOD + "".join(f"kex{n}: 1\n" for n in range(9_000))))
    assert time.perf_counter() - started < 10


def test_a_missing_policy_names_its_neighbour(write: Write, folder: Path) -> None:
    write()
    (found,) = problems(folder / "polcy.yaml")
    assert "No such file" in found.message
    assert "policy.yaml" in found.hint


def test_a_folder_in_place_of_a_policy_names_the_policy_inside(write: Write, folder: Path) -> None:
    write()
    (found,) = problems(folder)
    assert "directory" in found.message
    assert str(folder / "policy.yaml") in found.hint


def test_a_byte_order_mark_does_no_harm(folder: Path) -> None:
    (folder / "policy.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_policy(folder / "policy.yaml").name == "support-bot-1.2"
