"""Where files lie as the repository sees them, and findings that keep their identity between audits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditkit import audit, load_policy
from auditkit.auditing.places import placed, repository_root, seen_from
from auditkit.report.base import DatasetInfo
from auditkit.report.sarif_format import SarifFormat
from tests.ci.projects import project, records
from tests.report.builder import dataset


def test_paths_are_seen_from_the_root(tmp_path: Path) -> None:
    assert seen_from(tmp_path, tmp_path) == "."
    assert seen_from(tmp_path, tmp_path / "a/b/../c.jsonl") == "a/c.jsonl"
    assert seen_from(tmp_path / "a", tmp_path / "ab") is None
    assert seen_from(tmp_path / "a", tmp_path / "a/../b") is None


def test_the_root_is_the_checkouts_or_the_policys_folder(tmp_path: Path) -> None:
    made = project(tmp_path / "checkout", "pass")
    inner = made / "audits" / "bot"
    inner.mkdir(parents=True)
    text = (made / "policy.yaml").read_text()
    (inner / "policy.yaml").write_text(text.replace("data/", "../../data/").replace("keys/", "../../keys/"))
    policy = load_policy(inner / "policy.yaml")
    assert repository_root(policy) == made
    assert placed(_info("sft"), policy.datasets[0], policy).folder == "data"
    (made / ".git").rmdir()
    assert repository_root(policy) == inner
    assert placed(_info("sft"), policy.datasets[0], policy).folder is None  # outside: nothing is told


def test_a_dataset_on_the_hub_is_in_no_folder(tmp_path: Path) -> None:
    made = project(tmp_path / "checkout", "pass")
    policy = load_policy(made / "policy.yaml")
    section = policy.datasets[0].model_copy(update={"path": f"hub://org/name@{'a' * 40}"})
    assert placed(_info("sft"), section, policy).folder is None
    folder = policy.datasets[0].model_copy(update={"path": str(made / "data")})
    assert placed(_info("sft"), folder, policy).folder == "data"


def _info(name: str) -> DatasetInfo:
    return dataset(name, "sft").model_copy(update={"folder": None})


def _results(made: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, dict[str, Any]]:
    """Fingerprint -> result of every leaked record of one audit."""
    monkeypatch.setenv("AUDITKIT_SECRET", "a secret of the organisation")
    policy = yaml.safe_load((made / "policy.yaml").read_text())
    policy["attacks"][0].update(changes)
    policy["report"] |= {"sign": "none", "max_findings": 500}
    (made / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))
    report = audit(load_policy(made / "policy.yaml"), made / "reports")
    (path,) = SarifFormat().write(report, made)
    results = json.loads(path.read_bytes())["runs"][0]["results"]
    return {r["partialFingerprints"]["primaryLocationLineHash"]: r for r in results if r["ruleId"] == "leaked-record"}


def _line(result: dict[str, Any]) -> int:
    line: int = result["locations"][0]["physicalLocation"]["region"]["startLine"]
    return line


@pytest.mark.slow
def test_a_leak_keeps_its_fingerprint_between_audits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = project(tmp_path / "checkout", "fail")
    before = _results(made, monkeypatch)
    rows = records(150, 1)
    moved = [*records(10, 9), *rows[75:], *rows[:74]]  # ten new ones in front, the leaked ones last, one of them gone
    (made / "data/sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in moved))
    after = _results(made, monkeypatch, seed=99)
    assert len(before) == 75
    gone = set(before) - set(after)
    assert set(after) < set(before) and len(gone) == 1
    assert _line(before[gone.pop()]) == 75
    assert all(_line(after[name]) == _line(before[name]) + 85 for name in after)
