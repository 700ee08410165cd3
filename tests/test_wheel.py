"""A built wheel, in an empty environment and from another folder, renders reports."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

POLICY = """
version: 1
name: wheel
models: {candidate: {backend: scripted, lines: [{user: "How do I reset it?", assistant: "Hold the button."}]}}
datasets:
  - {name: sft, stage: sft, path: sft.jsonl, fields: {prompt: q, response: a}, controls: controls.jsonl}
attacks: [{kind: template_prefix, samples: 40, max_new_tokens: 64}]
gate: [{metric: string_memorisation_rate, max: 0.5}]
report: {formats: [html, pdf, json, sarif, junit, cyclonedx, markdown], sign: none}
"""


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_wheel_renders_reports_from_another_folder(tmp_path: Path) -> None:
    built = _run(sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(REPOSITORY), cwd=tmp_path)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("auditkit-*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    installed = _run(python, "-m", "pip", "install", "--quiet", f"{wheel}[pdf]", cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "policy.yaml").write_text(POLICY)
    (elsewhere / "sft.jsonl").write_text('{"q": "How do I reset it?", "a": "Hold the button."}\n' * 3)
    (elsewhere / "controls.jsonl").write_text('{"q": "Where is the shop?", "a": "Round the corner."}\n')
    ran = _run(str(tmp_path / "env" / "bin" / "auditkit"), "run", "policy.yaml", cwd=elsewhere)
    assert ran.returncode in (0, 1, 3), ran.stdout + ran.stderr
    (run,) = (elsewhere / "reports").glob("wheel-*")
    assert (run / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "UNSIGNED" in (run / "report.html").read_text()
    assert "whose training data is known" in (run / "report.html").read_text()  # the instrument's own calibration
    recipe = _run(
        str(tmp_path / "env" / "bin" / "auditkit"), "lab", "build", "no_such_recipe", "--out", "x", cwd=elsewhere
    )
    assert recipe.returncode == 2 and "near_versions" in recipe.stderr  # the recipes that ship are there
    assert _run(python, "-c", "import torch", cwd=elsewhere).returncode != 0
