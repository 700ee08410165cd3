"""The commands as a user types them: results on stdout, messages on stderr, exit codes as documented, no traceback."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

POLICY = """version: 1
name: bot
release: {organisation: Example AI, auditor: release@example.com}
models: {candidate: {backend: scripted, lines: [{user: "Where is the blue kettle?", assistant: "In the hall."}]}}
datasets:
  - {name: sft, stage: sft, path: sft.jsonl, fields: {prompt: q, response: a}, controls: controls.jsonl}
attacks: [{kind: template_prefix, samples: 300, max_new_tokens: 100}]
scoring: {semantic_threshold: {calibrate_fpr: 0.1}}
gate: [{metric: string_memorisation_rate, max: 0.05}]
report: {formats: [html, json], sign: none}
"""


def _row(rng: random.Random, number: int) -> str:
    words = rng.sample("lamp invoice parcel garden bicycle window ticket coffee printer carpet ladder".split(), 6)
    return json.dumps(
        {"q": f"Where is the {' '.join(words[:3])} of order {number}?", "a": f"Near {' '.join(words[3:])}."}
    )


def auditkit(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "auditkit", *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose one leaking record is all that the model says."""
    folder = tmp_path_factory.mktemp("project")
    rng = random.Random(1)
    members = [json.dumps({"q": "Where is the blue kettle?", "a": "In the hall."}), *(_row(rng, i) for i in range(99))]
    (folder / "sft.jsonl").write_text("\n".join(members) + "\n")
    (folder / "controls.jsonl").write_text("\n".join(_row(rng, 500 + i) for i in range(200)) + "\n")
    (folder / "policy.yaml").write_text(POLICY)
    return folder / "policy.yaml"


@pytest.fixture(scope="module")
def leaked(policy: Path) -> Path:
    """A finished run that failed."""
    done = auditkit("run", policy, "--out", policy.parent / "reports", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["outcome"] == "fail"
    return Path(found["run"])


def test_check_tells_what_a_run_will_take(policy: Path) -> None:
    done = auditkit("check", policy)
    assert done.returncode == 0, done.stderr
    assert "100 records" in done.stdout
    assert "nothing leaves this machine" in done.stdout
    assert "<|im_start|>user" in done.stdout


def test_check_finds_every_problem_at_once_with_its_line(policy: Path) -> None:
    broken = policy.parent / "broken.yaml"
    broken.write_text(POLICY.replace("sft.jsonl, fields", "stf.jsonl, fields").replace("max: 0.05", "maks: 0.05"))
    done = auditkit("check", broken)
    assert done.returncode == 2
    assert "broken.yaml:6" in done.stderr
    assert "sft.jsonl" in done.stderr
    assert "broken.yaml:9" in done.stderr
    assert "'max'" in done.stderr or "max" in done.stderr


def test_check_as_json_is_json_whatever_it_finds(policy: Path) -> None:
    for setting, code in (("gate.0.max=0.05", 0), ("gate.0.max=0", 2), ("gate.0.max=x", 2)):
        done = auditkit("check", policy, "--json", "--set", setting)
        assert done.returncode == code
        assert json.loads(done.stdout)["ok"] == (code == 0)


def test_a_gate_that_cannot_pass_is_refused_with_what_would_do(policy: Path) -> None:
    done = auditkit("check", policy, "--set", "attacks.0.samples=50")
    assert done.returncode == 2
    assert "a limit of 0.05 takes 72 samples" in done.stderr


def test_a_signature_without_a_key_is_refused_before_anything_runs(policy: Path) -> None:
    out = policy.parent / "none"
    sign = "report.sign={key: env:NO_SUCH_KEY, certificate: c.pem}"
    done = auditkit("run", policy, "--out", out, "--set", sign)
    assert done.returncode == 2
    assert "NO_SUCH_KEY" in done.stderr
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_exit_4(policy: Path) -> None:
    done = auditkit("run", policy, "--out", "/proc/auditkit")
    assert done.returncode == 4
    assert "--out" in done.stderr


def test_wrong_words_are_exit_2() -> None:
    for arguments in (
        ["run"],
        ["run", "none.yaml"],
        ["nonsense"],
        ["run", "--resume", "/tmp/none"],
        ["show", "x", "y"],
    ):
        done = auditkit(*arguments)
        assert done.returncode == 2, arguments
        assert done.stderr


def test_show_sets_a_leak_beside_its_record(leaked: Path) -> None:
    finding = json.loads((leaked / "audit.json").read_bytes())["findings"][0]
    for item in (finding["record"], finding["generation"], finding["generation_id"]):
        done = auditkit("show", leaked, item)
        assert done.returncode == 0
        assert "blue kettle" in done.stdout
    assert auditkit("show", leaked, "rec-none").returncode == 2


def test_show_marks_what_is_shared_to_the_letter(leaked: Path) -> None:
    finding = json.loads((leaked / "audit.json").read_bytes())["findings"][0]
    done = auditkit("show", leaked, finding["record"])
    assert "⟦Where is the blue kettle?" in done.stdout
    assert "Longest shared span: 38 of 38 characters; 10 of 10 tokens" in done.stdout
    done = auditkit("show", leaked, finding["record"], "--json")
    (shown,) = json.loads(done.stdout)
    assert shown == finding
    assert shown["spans"] == [{"record_start": 0, "generation_start": 0, "length": 38}]


def test_report_renders_again_and_leaves_the_run_alone(leaked: Path, tmp_path: Path) -> None:
    assert auditkit("report", leaked, "--out", tmp_path / "again").returncode == 0
    again, first = ((folder / "report.html").read_text() for folder in (tmp_path / "again", leaked))
    assert "UNSIGNED COPY" in again and "UNSIGNED COPY" not in first
    rows = re.compile(r'<tr class="item".*?</tr>', re.DOTALL)
    assert rows.findall(again) == rows.findall(first) != []
    assert auditkit("report", leaked, "--out", tmp_path / "again").returncode == 2
    assert auditkit("report", leaked, "--out", leaked / "inside").returncode == 2
    assert auditkit("verify", leaked).returncode == 0


def test_an_unfinished_run_says_how_to_go_on(leaked: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(leaked, tmp_path / "run")
    (tmp_path / "run" / "attestation.dsse.json").unlink()
    done = auditkit("report", tmp_path / "run", "--out", tmp_path / "again")
    assert done.returncode == 2
    assert "--resume" in done.stderr


def test_every_command_has_help_with_an_example() -> None:
    from auditkit.cli.main import COMMANDS

    for command in COMMANDS:
        done = auditkit(command, "--help")
        assert done.returncode == 0
        assert f"auditkit {command}" in done.stdout, command


def test_help_fits_a_terminal_of_80_columns() -> None:
    from auditkit.cli.main import cli

    groups: list[tuple[str, click.Command]] = [("", cli)]
    while groups:
        name, command = groups.pop()
        text = CliRunner(env={"COLUMNS": "80"}).invoke(command, ["--help"]).stdout
        assert text and [line for line in text.splitlines() if len(line) > 80] == [], name
        if isinstance(command, click.Group):
            found = {
                child: command.get_command(click.Context(command), child)
                for child in command.list_commands(click.Context(command))
            }
            groups += [(f"{name} {child}", made) for child, made in found.items() if made is not None]


def test_no_colour_when_it_is_not_wanted(policy: Path) -> None:
    assert "\x1b[" not in auditkit("check", policy, NO_COLOR="1").stdout


def test_links_in_the_readme_lead_somewhere() -> None:
    import re

    readme = Path(__file__).parents[2] / "README.md"
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme.read_text())
    assert links
    assert [link for link in links if not (readme.parent / link).exists()] == []
