"""How often a comparison errs: two audits of one model must not differ, and a model that leaks more must be found out.

Simulated audits: every record has a rate at which generations hit it, a few high and many low; two datasets, two
attacks, three figures each, through the estimators and the comparison that real runs take.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from auditkit.auditing.diff import compare
from auditkit.auditing.diff_runs import DiffRun
from auditkit.auditing.run_folder import RunFolder
from auditkit.records import Estimate
from auditkit.report.base import AuditReport, RuleResult, Verdict
from auditkit.report.diff import Diff
from auditkit.scoring.coverage import CoverageResult
from auditkit.scoring.metrics import (
    Scope,
    adjusted_coverage_estimate,
    adjusted_semantic_rate,
    semantic_memorisation_rate,
)
from tests.report.builder import small_report

GENERATIONS, RECORDS, CONTROLS = 2000, 400, 300
SETS, ATTACKS = ("sft-support", "dpo-ranking"), ("template_prefix", "bos_prefix")
Floats = npt.NDArray[np.float64]


def _rates(rng: np.random.Generator, leak: float, records: int) -> Floats:
    """Hits a generation of each record, heavy-tailed, ``leak`` in all."""
    weights = rng.pareto(1.2, records) + 0.01
    return np.asarray(leak * weights / weights.sum())


def _side(rng: np.random.Generator, rates: Floats) -> tuple[CoverageResult, npt.NDArray[np.bool_]]:
    """What GENERATIONS reach, each at most one record; and which of them hit."""
    outcome = rng.choice(len(rates) + 1, size=GENERATIONS, p=[*rates, 1 - rates.sum()])
    hit = outcome < len(rates)
    incidence = np.bincount(outcome[hit], minlength=len(rates))
    first = np.full(len(rates), -1)
    first[outcome[hit][::-1]] = np.flatnonzero(hit)[::-1]
    nearest = np.zeros(len(rates), np.int64)
    found = CoverageResult(
        threshold=0.9,
        generations=GENERATIONS,
        scored=GENERATIONS,
        incidence=incidence,
        first_hit=first,
        record_hit=incidence > 0,
        draw_hits=np.array([hit.sum()]),
        subsample=CONTROLS,
        best_index=nearest,
        best_score=nearest.astype(np.float32),
    )
    return found, hit


def _estimates(rng: np.random.Generator, truth: dict[tuple[str, str], tuple[Floats, Floats]]) -> list[Estimate]:
    made = []
    for (dataset, attack), (members, controls) in truth.items():
        scope = Scope(dataset, attack)
        (ours, hit), (theirs, _) = _side(rng, members), _side(rng, controls)
        made.append(adjusted_coverage_estimate(scope, ours, theirs))
        made.append(adjusted_semantic_rate(scope, ours, theirs))
        every = np.ones(GENERATIONS, np.bool_)
        made.append(semantic_memorisation_rate(scope, hit.astype(np.float32), every, 0.9))
    return made


def _rule(estimate: Estimate) -> RuleResult:
    return RuleResult(
        rule="a rule",
        metric=estimate.metric,
        arm="baseline",
        dataset=estimate.dataset,
        attack=estimate.attack,
        view=estimate.view,
        estimate=estimate,
        limit=0.05,
        outcome="pass",
        reason="",
    )


def _run(folder: Path, report: AuditReport, estimates: list[Estimate]) -> DiffRun:
    arm = report.arms[0].model_copy(update={"estimates": estimates})
    verdict = Verdict(outcome="pass", arm="baseline", rules=[_rule(one) for one in estimates], cautions=[])
    return DiffRun(RunFolder(folder), report.model_copy(update={"arms": [arm], "verdict": verdict}), "intact")


def _compared(folder: Path, seed: int, leak: float, factor: float) -> Diff:
    """Two audits with seeds of their own; the second of a model that leaks ``factor`` times as much."""
    rng = np.random.default_rng(seed)
    scopes = [(dataset, attack) for dataset in SETS for attack in ATTACKS]
    truth = {scope: (_rates(rng, leak, RECORDS), _rates(rng, leak / 20, CONTROLS)) for scope in scopes}
    more = {scope: (members * factor, controls) for scope, (members, controls) in truth.items()}
    report = _REPORT
    before, after = (_run(folder, report, _estimates(rng, each)) for each in (truth, more))
    return compare(before, after)


_REPORT = small_report("pass")


@pytest.mark.slow
@pytest.mark.parametrize("leak", [0.003, 0.03, 0.4])
def test_two_audits_of_one_model_seldom_differ(tmp_path: Path, leak: float) -> None:
    """Declared: a false rise in 2.5 % of the comparisons at most. 400 of them, so up to 5 % by chance (p < 0.003)."""
    found = [_compared(tmp_path, seed, leak, 1.0) for seed in range(400)]
    assert all(diff.comparisons == 12 for diff in found)
    assert np.mean([diff.exit_code == 1 for diff in found]) <= 0.05
    assert np.mean([diff.outcome in ("rose", "fell") for diff in found]) <= 0.08


@pytest.mark.slow
def test_a_model_that_leaks_half_as_much_again_is_found_out(tmp_path: Path) -> None:
    found = [_compared(tmp_path, seed, 0.1, 1.5) for seed in range(60)]
    assert np.mean([diff.exit_code == 1 for diff in found]) >= 0.95


def test_without_correction_the_gate_would_cry_wolf(tmp_path: Path) -> None:
    """What the correction is for: 12 intervals of 95 % each are seldom all on 0 by themselves."""
    found = [_compared(tmp_path, seed, 0.03, 1.0) for seed in range(150)]
    alone = [any(line.movement in ("rose", "rose_alone", "fell", "fell_alone") for line in diff.gate) for diff in found]
    assert np.mean(alone) > np.mean([diff.outcome in ("rose", "fell") for diff in found])


def test_a_run_against_itself_has_not_moved(tmp_path: Path) -> None:
    diff = _compared(tmp_path, 1, 0.03, 1.0)
    assert diff.outcome == "level"
    line = diff.gate[0]
    assert line.before is not None
    same = replace(line.before)
    (only,) = compare(_run(tmp_path, _REPORT, [same]), _run(tmp_path, _REPORT, [same])).gate
    assert only.movement == "level" and only.difference is not None
    assert only.difference.value == 0 and only.p == 1
