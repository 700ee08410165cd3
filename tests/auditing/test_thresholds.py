"""Thresholds, forecasts, lengths and power in a whole audit: consistent with its estimates, and not made twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from auditkit import audit, load_policy
from auditkit.auditing import thresholds
from auditkit.auditing.forecasts import budget_forecast
from auditkit.report.base import AuditReport
from auditkit.scoring.coverage import CoverageResult
from tests.auditing.test_verdicts import LEAKING, _policy, _records, _write


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 members; 300 controls, most of them of two records, and so longer."""
    folder = tmp_path_factory.mktemp("thresholds")
    one, other = _records(300, 2), _records(300, 3)
    joined = [{"q": a["q"], "a": f"{a['a']} {b['a']}"} for a, b in zip(one, other, strict=True)]
    _write(folder / "sft.jsonl", _records(150, 1))
    _write(folder / "controls.jsonl", [*joined[:200], *one[200:]])
    return folder


def _run(project: Path, **changes: Any) -> AuditReport:
    (project / "policy.yaml").write_text(yaml.safe_dump(_policy(LEAKING, **changes)))
    return audit(load_policy(project / "policy.yaml"), project / "out")


@pytest.fixture(scope="module")
def report(project: Path) -> AuditReport:
    return _run(project)


def test_the_curve_goes_through_the_estimates_of_the_audit(report: AuditReport) -> None:
    (tau,) = {entry.threshold for entry in report.calibration if entry.view == "record"}
    metrics = {"at_random": "adjusted_semantic_rate", "by_length": "length_matched_semantic_rate"}
    assert {curve.drawn for curve in report.thresholds} == set(metrics)
    for curve in report.thresholds:
        assert curve.view == "record"
        (point,) = (point for point in curve.points if point.threshold == tau)
        estimate = _estimate(report, metrics[curve.drawn])
        assert (point.adjusted, point.adjusted_low, point.adjusted_high) == (
            estimate.value,
            estimate.low,
            estimate.high,
        )
        assert [one.threshold for one in curve.points] == sorted(one.threshold for one in curve.points)
        members = [one.members for one in curve.points]
        assert members == sorted(members, reverse=True)
        assert members[-1] > 0.2  # everything that the model says is to the letter, of half of the members


def _estimate(report: AuditReport, metric: str) -> Any:
    (found,) = (one for arm in report.arms for one in arm.estimates if (one.metric, one.view) == (metric, "record"))
    return found


def test_a_difference_in_length_is_told(report: AuditReport) -> None:
    (check,) = report.lengths
    assert check.differ
    assert check.members < check.controls
    assert check.auc < 0.5
    coverage = _estimate(report, "length_matched_coverage")
    assert coverage.low <= coverage.value <= coverage.high


def test_the_forecast_starts_where_the_run_ended(report: AuditReport) -> None:
    (found,) = report.forecasts
    assert found.at_twice is not None
    assert found.reachable is not None
    share = found.clusters_hit / found.clusters
    assert (found.generations, share) == (400, _estimate(report, "coverage").value)
    assert found.on_the_way[0].generations == 400
    assert found.on_the_way[0].value == found.on_the_way[0].high == pytest.approx(share)
    assert found.on_the_way[-1].generations == 800
    assert found.on_the_way[-1].value == found.at_twice.value >= share
    assert found.at_twice.low <= found.at_twice.value <= found.at_twice.high <= 1
    assert found.reachable.value >= share
    assert 0.45 < share < found.at_twice.high < 0.6  # every line was said already, half of the records


def test_what_was_counted_is_read_back_and_not_counted_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    count = thresholds._count

    def counting(*args: Any) -> Any:
        counted.append("again")
        return count(*args)

    monkeypatch.setattr(thresholds, "_count", counting)
    report = _run(project)
    assert len(counted) == 1
    (path,) = (project / "out" / report.run.id / "evidence").glob("thresholds-*.npz")
    hits = thresholds._read(path)
    assert hits.at_random.thresholds.tolist() == [point.threshold for point in report.thresholds[0].points]
    assert list(hits.curves("template_prefix", "sft", "record")) == report.thresholds
    assert path.stat().st_mode & 0o077 == 0


def test_without_a_threshold_there_are_rates_but_no_forecast(project: Path) -> None:
    report = _run(project, scoring={"semantic_threshold": {"calibrate_fpr": 0.001}})
    assert report.thresholds
    assert report.forecasts[0].at_twice is None
    assert "uncalibrated" in report.forecasts[0].reason
    for metric in ("length_matched_semantic_rate", "length_matched_coverage"):
        assert "uncalibrated" in _estimate(report, metric).reason


def test_thinned_out_generations_are_in_neither_count(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditkit.scoring.threshold_curve.MOST_PAIRS", 30_000)
    models = {"candidate": {"backend": "scripted", "lines": LEAKING, "cut": 0.2}}
    report = _run(project, models=models)
    for drawn, curve in {curve.drawn: curve for curve in report.thresholds}.items():
        assert curve.every > 1, drawn
    curve = next(curve for curve in report.thresholds if curve.drawn == "by_length")
    estimate = _estimate(report, "length_matched_semantic_rate")
    assert estimate.denominator == curve.generations
    assert 0 < estimate.unscored
    assert estimate.denominator + estimate.unscored == -(-400 // curve.every)
    assert f"every {curve.every}-th generation" in estimate.method


def test_power_is_stated_for_every_rule(report: AuditReport) -> None:
    (power,) = report.powers
    assert (power.metric, power.declared, power.to_pass) == ("adjusted_coverage", 150, 74)
    assert power.detects is not None
    assert power.detects < 0.8
    assert power.to_detect_80 is not None
    assert power.to_detect_80 > 150


@pytest.mark.parametrize(("clusters", "generations"), [(0, 10), (10, 0)])
def test_nothing_is_forecast_from_nothing(clusters: int, generations: int) -> None:
    none = np.zeros(clusters, np.int64)
    result = CoverageResult(
        threshold=0.9,
        generations=generations,
        scored=generations,
        incidence=none,
        first_hit=none - 1,
        record_hit=none > 0,
        draw_hits=none,
        subsample=0,
        best_index=none,
        best_score=none.astype(np.float32),
    )
    found = budget_forecast(result)
    assert found.at_twice is None
    assert found.reason


def test_a_threshold_fixed_for_another_embedder_needs_controls_that_give_it_a_meaning(tmp_path: Path) -> None:
    _write(tmp_path / "sft.jsonl", _records(150, 1))
    _write(tmp_path / "controls.jsonl", _records(60, 2))
    clean = _policy([{"user": "what is new?", "assistant": "nothing much"}], scoring={"semantic_threshold": 0.95})
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(clean))
    report = audit(load_policy(tmp_path / "policy.yaml"), tmp_path / "out")
    assert report.verdict.outcome == "inconclusive"
    assert any("not published for the embedder" in caution for caution in report.verdict.cautions)
    _write(tmp_path / "controls.jsonl", _records(300, 2))
    report = audit(load_policy(tmp_path / "policy.yaml"), tmp_path / "out")
    assert not any("not published" in caution for caution in report.verdict.cautions)
    assert "0 of 300 controls" in report.calibration[0].reason
