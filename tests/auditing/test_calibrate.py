"""What near-duplicate controls are worth, and what the half of them that set no threshold says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auditkit import audit, load_policy
from auditkit.auditing.calibrate import calibrate_dataset
from auditkit.auditing.prepare import prepare
from auditkit.auditing.sides import Sides
from auditkit.report.base import AuditReport
from tests.auditing.test_verdicts import CLEAN, _policy, _records, _write


def _load(project: Path, **changes: Any) -> Any:
    (project / "policy.yaml").write_text(yaml.safe_dump(_policy(CLEAN, **changes)))
    return load_policy(project / "policy.yaml")


def _audit(project: Path, controls: list[dict[str, str]]) -> AuditReport:
    _write(project / "controls.jsonl", controls)
    return audit(_load(project), project / "out")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """150 members, no controls yet."""
    _write(tmp_path / "sft.jsonl", _records(150, 1))
    return tmp_path


def _varied(rows: list[dict[str, str]], copies: int) -> list[dict[str, str]]:
    return [{**row, "a": f"{row['a']}{'.' * copy}"} for row in rows for copy in range(copies)]


def test_copies_of_a_few_controls_calibrate_nothing(project: Path) -> None:
    report = _audit(project, _varied(_records(10, 2), 30))
    record = next(entry for entry in report.calibration if entry.view == "record")
    assert record.controls == report.datasets[0].controls == 300
    assert record.threshold is None
    assert "distinct calibration controls, and there are 5" in record.reason
    assert report.verdict.outcome == "inconclusive"
    (near,) = report.near_duplicates
    assert (near.control_clusters, near.control_records) == (10, 300)


def test_evidence_is_counted_in_distinct_controls(project: Path) -> None:
    _write(project / "controls.jsonl", [*_varied(_records(20, 2), 5), *_records(200, 3)])
    (data,) = prepare(_load(project), b"s")
    sizes = data.sizes()
    assert sizes.calibration_controls + sizes.evaluation_controls == 220
    assert len(data.calibration) + len(data.evaluation) == 300


@pytest.mark.parametrize("reaching", [3, 40])
def test_a_threshold_that_the_other_half_reaches_too_often_is_a_doubt(project: Path, reaching: int) -> None:
    """A rate of 5 % was set; 3 of 150 reach it by chance, 40 do not."""
    _write(project / "controls.jsonl", _records(300, 2))
    policy = _load(project)
    (data,) = prepare(policy, b"s")
    members, controls = np.eye(150, 151, dtype=np.float32), np.zeros((300, 151), np.float32)
    controls[:, 150] = 1
    controls[data.evaluation[:reaching]] = members[:reaching]
    sides = Sides(data, "record", members, controls, lambda texts: np.zeros((len(texts), 151), np.float32))
    found = calibrate_dataset(policy, sides)
    said = [doubt for doubt in found.doubts if f"{reaching} of the 150 distinct evaluation controls" in doubt]
    assert len(said) == (reaching == 40)
    assert found.calibration.evaluation_fpr == pytest.approx(reaching / 150)
