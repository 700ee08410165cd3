"""What a gate needs before it can pass, against the intervals that the gate then uses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.statistics.intervals import clopper_pearson, distinct_interval
from auditkit.statistics.power import (
    best_adjusted_coverage_high,
    best_adjusted_rate_high,
    best_coverage_high,
    best_rate_high,
    controls_for_fpr,
    rate_bound,
    records_for_coverage,
    samples_for_rate,
    smallest_raw_rate_limit,
)


def test_rule_of_three() -> None:
    assert rate_bound(1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert rate_bound(1000) == pytest.approx(3 / 1000, rel=0.01)
    assert rate_bound(1) == pytest.approx(0.95)


def test_controls_for_one_percent() -> None:
    assert controls_for_fpr(0.01) == 368


@given(st.floats(1e-4, 0.9))
def test_samples_for_rate_is_the_fewest(limit: float) -> None:
    n = samples_for_rate(limit)
    assert clopper_pearson(0, n)[1] <= limit
    assert n == 1 or clopper_pearson(0, n - 1)[1] > limit


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.0])
def test_a_limit_that_nothing_reaches_is_refused(limit: float) -> None:
    with pytest.raises(ValueError):
        samples_for_rate(limit)


@given(st.integers(1, 5000))
def test_best_coverage_is_the_interval_of_no_hit(clusters: int) -> None:
    assert best_coverage_high(clusters) * clusters == pytest.approx(distinct_interval(np.zeros(clusters, int))[1])


def test_records_for_coverage_is_the_fewest() -> None:
    n = records_for_coverage(0.01)
    assert n == 369
    assert best_coverage_high(n) <= 0.01 < best_coverage_high(n - 1)


def test_best_adjusted_figures() -> None:
    assert best_adjusted_coverage_high(1000, 500) == pytest.approx(3.689 / 1000, abs=1e-6)
    assert best_adjusted_coverage_high(1000, 0) == 1.0
    assert best_adjusted_rate_high(500) == best_rate_high(500) == clopper_pearson(0, 500)[1]


def test_raw_rates_keep_their_distance_from_the_calibration() -> None:
    assert smallest_raw_rate_limit(0.01) == pytest.approx(0.05)
