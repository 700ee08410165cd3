"""The real released model, in small: 30 generations of SmolLM2-135M-Instruct through the whole pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "smollm2"


@pytest.mark.slow
def test_a_small_audit_of_a_real_model_reaches_a_verdict(tmp_path: Path) -> None:
    prepared = subprocess.run([sys.executable, "prepare.py"], cwd=EXAMPLE, capture_output=True, text=True, check=False)
    if "ExampleDataMissingError" in prepared.stderr:
        pytest.skip(prepared.stderr.strip().splitlines()[-1])
    assert prepared.returncode == 0, prepared.stderr
    settings = [f"attacks.{attack}.{key}" for attack in range(3) for key in ("samples=10", "max_new_tokens=24")]
    arguments = [part for setting in [*settings, "report.sign=none"] for part in ("--set", setting)]
    formats = ["--set", "report.formats=[html,json]"]
    command = [sys.executable, "-m", "auditkit", "run", str(EXAMPLE / "policy.yaml"), "--out", str(tmp_path)]
    done = subprocess.run([*command, *arguments, *formats], capture_output=True, text=True, check=False)
    # So few and so short generations cannot pass a gate of one per cent.
    assert done.returncode == 3, done.stdout + done.stderr
    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    audit = json.loads((run / "audit.json").read_bytes())
    default, bare, bos = (attack["prefixes"][0]["text"] for attack in audit["attacks"])
    assert default.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert default.endswith("<|im_start|>user\n")
    assert bare == "<|im_start|>user\n"
    assert bos == "<|im_start|>"
    assert {data["name"]: data["records"] for data in audit["datasets"]} == {"falseqa": 2365, "gsm8k": 7473}
