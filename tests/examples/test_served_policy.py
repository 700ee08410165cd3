"""The commented policy for a served model is one that loads, once its data are there."""

from __future__ import annotations

import shutil
from pathlib import Path

from auditkit.policy.load import load_policy

POLICY = Path(__file__).parents[2] / "examples/served/policy.yaml"


def test_it_loads(tmp_path: Path) -> None:
    shutil.copy(POLICY, tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("sft", "controls"):
        (tmp_path / "data" / f"{name}.jsonl").write_text('{"question": "Who?", "answer": "Nobody."}\n')
    found = load_policy(tmp_path / "policy.yaml")
    assert found.models.candidate.reach == "raw_api"
    assert found.models.candidate.likelihoods == "given"
    assert not found.models.candidate.external
