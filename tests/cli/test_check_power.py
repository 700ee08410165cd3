"""``auditkit check``: near-duplicates, leaky controls and power, as people and programs see them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auditkit.cli.main import cli

POLICY = """
version: 1
name: checked
models: {candidate: {backend: scripted, lines: [{user: hello, assistant: hi}]}}
datasets:
  - {name: sft, stage: sft, path: sft.jsonl, fields: {prompt: q, response: a}, controls: controls.jsonl}
attacks: [{kind: template_prefix, samples: 100}]
scoring: {semantic_threshold: {calibrate_fpr: 0.05}}
gate:
  - {metric: adjusted_coverage, max: 0.05}
  - {metric: string_memorisation_rate, max: 0.04}
report: {formats: [json], sign: none}
"""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _rows(count: int, seed: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    return [
        {"q": f"{''.join(rng.choices(LETTERS, k=30))}?", "a": f"{''.join(rng.choices(LETTERS, k=40))}."}
        for _ in range(count)
    ]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    members = _rows(200, 1)
    members += [{**row, "a": f"{row['a']}."} for row in members[:3]]
    for name, rows in (("sft", members), ("controls", _rows(300, 2))):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def _check(project: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["check", str(project / "policy.yaml"), "--out", str(project), *options])


def test_it_tells_near_duplicates_and_what_each_rule_needs_in_80_columns(project: Path) -> None:
    result = _check(project)
    assert result.exit_code == 0, result.output
    assert "3 clusters of records (similarity 0.9 or more) hold 3.0% of them, the largest 2" in result.stdout
    assert "0 controls nearly repeat a member" in result.stdout
    table = result.stdout[result.stdout.index("power") :].splitlines()
    assert max(map(len, table[:6])) <= 80
    (coverage,) = (line.split() for line in table if "distinct records" in line)
    assert coverage[-4:-2] == ["200", "74"]
    assert "at best, if records come out singly" in result.stdout
    (rate,) = (line.split() for line in table if "generations" in line)
    assert rate[-4:-2] == ["100", "91"]


def test_a_rule_that_would_hardly_see_twice_its_limit_is_a_warning(project: Path) -> None:
    result = _check(project)
    (warning,) = (line for line in result.stderr.splitlines() if "string_memorisation_rate" in line)
    assert warning.startswith("warning:")
    assert "0.08, twice the limit" in warning
    assert "of audits only" in warning
    assert not any(
        "string_memorisation_rate" in line
        for line in _check(project, "--set", "attacks.0.samples=2000").stderr.splitlines()
    )


def test_it_has_all_of_it_as_data(project: Path) -> None:
    data = json.loads(_check(project, "--json").stdout)
    assert data["ok"]
    assert [power["metric"] for power in data["power"]] == ["adjusted_coverage", "string_memorisation_rate"]
    assert data["power"][1]["to_detect_95"] > data["power"][1]["to_detect_80"] > data["power"][1]["to_pass"]
    assert len(data["facts"]["near-duplicates"]) == 2


def test_copies_among_the_controls_are_told_and_do_not_count(project: Path) -> None:
    rows = _rows(300, 2) + [{**row, "a": f"{row['a']}!"} for row in _rows(50, 2)]
    (project / "controls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = _check(project)
    assert result.exit_code == 0, result.output
    assert "50 clusters of controls hold 100 of them; each counts as one control" in result.stdout
    assert "350 controls (" in result.stdout
    few = [{**row, "a": f"{row['a']}{'!' * copy}"} for row in _rows(20, 2) for copy in range(4)] * 4
    (project / "controls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in few))
    result = _check(project)
    assert result.exit_code == 2
    assert "distinct controls to calibrate with" in result.stderr


def test_a_leaky_control_is_an_error_that_names_the_pair(project: Path) -> None:
    twin = {**_rows(200, 1)[7], "q": f"x{_rows(200, 1)[7]['q']}"}
    with (project / "controls.jsonl").open("a") as file:
        file.write(json.dumps(twin) + "\n")
    result = _check(project)
    assert result.exit_code == 2
    assert "controls.jsonl:301: this control of sft nearly repeats the member at sft.jsonl:8" in result.stderr
    assert twin["a"] not in result.output
    kept = _check(project, "--set", "datasets.0.near_controls=keep")
    assert kept.exit_code == 0
    assert "1 controls nearly repeat a member, kept" in kept.stdout
    assert "no rule on it can pass" in kept.stderr


def test_a_threshold_of_another_embedder_is_a_warning(project: Path) -> None:
    assert "was not published for the embedder" in _check(project, "--set", "scoring.semantic_threshold=0.95").stderr
    assert "was not published" not in _check(project).stderr


def test_large_data_is_left_for_the_run_and_it_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("preflight", "preflight_data"):
        monkeypatch.setattr(f"auditkit.auditing.{module}.MOST_RECORDS", 202)
    result = _check(project)
    assert result.exit_code == 0, result.output
    assert "not looked for among more than 202 records" in result.stdout
    assert "203 distinct" in result.stdout


def test_members_and_controls_of_other_lengths_are_a_warning(project: Path) -> None:
    rows = [{"q": f"{row['q']} {row['a']}", "a": row["a"]} for row in _rows(300, 3)]
    (project / "controls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "differ in length" in _check(project).stderr
