"""Members against controls of one length: the truth is held, and a difference in length alone is no leak."""

from __future__ import annotations

import numpy as np
import pytest

from auditkit.records import Estimate
from auditkit.scoring.coverage import CoverageResult
from auditkit.scoring.length_matched import length_matched_coverage, length_matched_semantic_rate
from auditkit.scoring.metrics import Scope, adjusted_coverage_estimate
from auditkit.scoring.threshold_curve import DrawnHits
from auditkit.statistics.matching import Strata, length_strata

SCOPE = Scope("d", "a")
GENERATIONS = 2000


def _result(incidence: np.ndarray, threshold: float | None = 0.9) -> CoverageResult:
    rng = np.random.default_rng(len(incidence))
    first = np.where(incidence > 0, rng.integers(0, GENERATIONS, len(incidence)), -1)
    empty = np.zeros(0, np.int64)
    return CoverageResult(
        threshold=threshold,
        generations=GENERATIONS,
        scored=GENERATIONS,
        incidence=incidence,
        first_hit=first,
        record_hit=incidence > 0,
        draw_hits=empty,
        subsample=0,
        best_index=empty,
        best_score=empty.astype(np.float32),
    )


def _figures(estimate: Estimate) -> tuple[float, float, float]:
    """Value, low and high of what is defined."""
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.value, estimate.low, estimate.high


@pytest.mark.parametrize("leak", [0.0, 0.0004, 0.003])
def test_what_comes_of_length_alone_is_not_called_a_leak_and_a_leak_is_held(leak: float) -> None:
    """Long texts resemble what is written: they are reached by chance, whether trained on or not."""
    rng = np.random.default_rng(1)
    members, controls = rng.gamma(9, 40, 600), rng.gamma(5, 40, 300)  # members are longer
    strata = length_strata(members, controls)
    chance = [np.exp(side / 70 - 12.5) for side in (members, controls)]
    rates = chance[0] + leak, chance[1]
    reached = [-np.expm1(-GENERATIONS * rate) for rate in rates]
    wanted = np.bincount(strata.controls[strata.controls >= 0])
    kept = strata.members >= 0
    sizes = np.bincount(strata.members[kept])
    means = np.bincount(strata.members[kept], reached[0][kept]) / sizes
    truth = float(np.sum(wanted / wanted.sum() * means)) - reached[1][strata.controls >= 0].mean()
    held, plain = 0, []
    for _ in range(200):
        ours, theirs = (_result(rng.poisson(GENERATIONS * rate)) for rate in rates)
        _, low, high = _figures(length_matched_coverage(SCOPE, ours, theirs, strata))
        held += low <= truth <= high
        plain.append(_figures(adjusted_coverage_estimate(SCOPE, ours, theirs))[0])
    assert held / 200 >= 0.94
    if not leak:
        assert np.mean(plain) > 0.05  # what would have been called a leak
        assert abs(truth) < np.mean(plain) / 3


def test_coverage_of_one_stratum_is_the_adjusted_one() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.poisson(0.2, 500), rng.poisson(0.05, 200)
    strata = Strata(np.zeros(500, np.int64), np.zeros(200, np.int64))
    found = length_matched_coverage(SCOPE, _result(ours), _result(theirs), strata)
    assert found.value == pytest.approx(np.mean(ours > 0) - np.mean(theirs > 0))
    assert found.value == pytest.approx(adjusted_coverage_estimate(SCOPE, _result(ours), _result(theirs)).value)
    value, low, high = _figures(found)
    assert -1 <= low < value < high <= 1
    assert (found.numerator, found.denominator) == (int(np.count_nonzero(ours)), 500)


@pytest.mark.parametrize("everything", [True, False])
def test_all_hit_or_none_leaves_doubt(everything: bool) -> None:
    strata = Strata(np.arange(100) // 50, np.arange(80) // 40)
    ours, theirs = np.full(100, int(everything)), np.zeros(80, np.int64)
    found = length_matched_coverage(SCOPE, _result(ours), _result(theirs), strata)
    value, low, high = _figures(found)
    assert value == float(everything)
    assert low < high


def test_undefined_figures_say_why() -> None:
    nothing = Strata(np.full(10, -1), np.full(5, -1))
    results = _result(np.ones(10, np.int64)), _result(np.ones(5, np.int64))
    assert "lengths" in length_matched_coverage(SCOPE, *results, nothing).reason
    blind = _result(np.ones(10, np.int64), None), _result(np.ones(5, np.int64), None)
    assert "uncalibrated" in length_matched_coverage(SCOPE, *blind, nothing).reason
    grid, none = np.array([0.5, 0.9]), np.zeros((0, 2), np.int64)
    reasons = {
        length_matched_semantic_rate(SCOPE, DrawnHits(grid, none, none, 10, 0), 0.9, 0).reason,
        length_matched_semantic_rate(SCOPE, DrawnHits(grid, none, none, 0, 4), 0.9, 0).reason,
        length_matched_semantic_rate(SCOPE, DrawnHits(grid, none, none, 10, 4), None, 0).reason,
    }
    assert len(reasons) == 3


def test_a_rate_over_draws_of_one_length() -> None:
    hits = DrawnHits(np.array([0.5, 0.9]), np.full((20, 2), 30), np.full((20, 2), 10), 1000, 50)
    found = length_matched_semantic_rate(SCOPE, hits, 0.9, 3)
    value, low, high = _figures(found)
    assert value == pytest.approx(0.02)
    assert (found.numerator, found.denominator, found.unscored) == (30, 1000, 3)
    assert 0 < low < 0.02 < high
