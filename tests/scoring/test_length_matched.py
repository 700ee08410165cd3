"""Members against controls of one length: the truth is held, and a difference in length alone is no leak."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from auditkit.records import Estimate
from auditkit.scoring.coverage import CoverageResult
from auditkit.scoring.length_matched import length_matched_coverage, length_matched_semantic_rate
from auditkit.scoring.metrics import Scope, adjusted_coverage_estimate
from auditkit.scoring.threshold_curve import DrawnHits
from auditkit.statistics.length_matching import LengthMatch, match_lengths
from auditkit.statistics.matching import Strata

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


def _chance(lengths: np.ndarray) -> np.ndarray:
    """Long texts resemble what is written: they are reached by chance, whether trained on or not."""
    return np.asarray(np.exp(np.minimum(lengths, 700) / 70 - 12.5))


def _reached(rates: np.ndarray) -> np.ndarray:
    return np.asarray(-np.expm1(-GENERATIONS * rates))


Sides = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
LONGER: dict[str, Sides] = {
    "few": lambda rng: (rng.gamma(9, 40, 600), rng.gamma(5, 40, 300)),
    "many": lambda rng: (rng.gamma(9, 40, 4000), rng.gamma(5, 40, 2000)),
    "three times as long": lambda rng: (rng.lognormal(5.7, 0.6, 6000), rng.lognormal(4.6, 0.6, 1000)),
    "shorter": lambda rng: (rng.gamma(5, 40, 2000), rng.gamma(9, 40, 700)),
}


@pytest.mark.parametrize("leak", [0.0, 0.0004, 0.003])
@pytest.mark.parametrize("sides", LONGER.values(), ids=LONGER.keys())
def test_what_comes_of_length_alone_is_not_called_a_leak_and_a_leak_is_held(sides: Sides, leak: float) -> None:
    """The truth is what was planted: what training adds to records as long as the controls, nothing at a leak of 0."""
    rng = np.random.default_rng(1)
    held, above, runs, plain = 0, 0, 0, []
    for _ in range(100):
        members, controls = sides(rng)
        match = match_lengths(members, controls)
        if match.reason:
            continue
        runs += 1
        chance = _chance(controls[match.strata.matched[1]])
        truth = float(np.mean(_reached(chance + leak) - _reached(chance)))
        ours = _result(rng.poisson(GENERATIONS * (_chance(members) + leak)))
        theirs = _result(rng.poisson(GENERATIONS * _chance(controls)))
        _, low, high = _figures(length_matched_coverage(SCOPE, ours, theirs, match))
        held += low <= truth <= high
        above += low > 0
        plain.append(_figures(adjusted_coverage_estimate(SCOPE, ours, theirs))[0])
    assert runs > 90
    assert held / runs >= 0.93
    if not leak:
        assert abs(np.mean(plain)) > 0.05  # what would have been called a leak, or have hidden one
        assert above / runs <= 0.06
    elif leak == 0.003:
        assert above / runs > 0.9


def test_where_length_still_tells_the_sides_apart_nothing_is_said() -> None:
    """Too few for a second stratum."""
    rng = np.random.default_rng(3)
    match = match_lengths([100] * 2 + [200] * 17, [100] * 17 + [200] * 2)
    assert match.auc is not None
    assert match.auc > 0.6
    results = _result(rng.poisson(0.2, 19)), _result(rng.poisson(0.1, 19))
    hits = DrawnHits(np.array([0.5, 0.9]), np.full((20, 2), 30), np.full((20, 2), 10), 1000, 50)
    for found in (
        length_matched_coverage(SCOPE, *results, match),
        length_matched_semantic_rate(SCOPE, hits, 0.9, 0, match),
    ):
        assert (found.value, found.low, found.high) == (None, None, None)
        assert f"an AUC of {match.auc:.3f}" in found.reason


def test_the_figure_says_what_the_matching_left() -> None:
    rng = np.random.default_rng(4)
    match = match_lengths(rng.gamma(9, 40, 600), rng.gamma(5, 40, 300))
    found = length_matched_coverage(SCOPE, _result(rng.poisson(0.2, 600)), _result(rng.poisson(0.1, 300)), match)
    used = int(match.strata.matched[1].sum())
    assert f"{used} of 300 controls leave an AUC of length of {match.auc:.3f}" in found.method


def test_coverage_of_one_stratum_is_the_adjusted_one() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.poisson(0.2, 500), rng.poisson(0.05, 200)
    match = LengthMatch(Strata(np.zeros(500, np.int64), np.zeros(200, np.int64)), 0.5, 0.4, 0.6)
    found = length_matched_coverage(SCOPE, _result(ours), _result(theirs), match)
    assert found.value == pytest.approx(np.mean(ours > 0) - np.mean(theirs > 0))
    assert found.value == pytest.approx(adjusted_coverage_estimate(SCOPE, _result(ours), _result(theirs)).value)
    value, low, high = _figures(found)
    assert -1 <= low < value < high <= 1
    assert (found.numerator, found.denominator) == (int(np.count_nonzero(ours)), 500)


@pytest.mark.parametrize("everything", [True, False])
def test_all_hit_or_none_leaves_doubt(everything: bool) -> None:
    match = LengthMatch(Strata(np.arange(100) // 50, np.arange(80) // 40), 0.5, 0.4, 0.6)
    ours, theirs = np.full(100, int(everything)), np.zeros(80, np.int64)
    found = length_matched_coverage(SCOPE, _result(ours), _result(theirs), match)
    value, low, high = _figures(found)
    assert value == float(everything)
    assert low < high


def test_undefined_figures_say_why() -> None:
    nothing, alike = match_lengths(range(10), range(20, 25)), match_lengths(range(10), range(10))
    results = _result(np.ones(10, np.int64)), _result(np.ones(5, np.int64))
    assert "lengths" in length_matched_coverage(SCOPE, *results, nothing).reason
    blind = _result(np.ones(10, np.int64), None), _result(np.ones(5, np.int64), None)
    assert "uncalibrated" in length_matched_coverage(SCOPE, *blind, nothing).reason
    grid, none = np.array([0.5, 0.9]), np.zeros((0, 2), np.int64)
    reasons = {
        length_matched_semantic_rate(SCOPE, DrawnHits(grid, none, none, 10, 0), 0.9, 0, nothing).reason,
        length_matched_semantic_rate(SCOPE, DrawnHits(grid, none, none, 0, 4), 0.9, 0, alike).reason,
        length_matched_semantic_rate(SCOPE, DrawnHits(grid, none, none, 10, 4), None, 0, alike).reason,
    }
    assert len(reasons) == 3


def test_a_rate_over_draws_of_one_length() -> None:
    hits = DrawnHits(np.array([0.5, 0.9]), np.full((20, 2), 30), np.full((20, 2), 10), 1000, 50)
    found = length_matched_semantic_rate(SCOPE, hits, 0.9, 3, match_lengths(range(50), range(50)))
    value, low, high = _figures(found)
    assert value == pytest.approx(0.02)
    assert (found.numerator, found.denominator, found.unscored) == (30, 1000, 3)
    assert 0 < low < 0.02 < high
