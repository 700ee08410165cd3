"""What a gate needs before it can pass, against the intervals that the gate then uses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from auditkit.scoring.coverage import CoverageResult
from auditkit.scoring.metrics import Scope, coverage_estimate
from auditkit.statistics.intervals import clopper_pearson, distinct_interval, poisson_interval
from auditkit.statistics.power import (
    best_adjusted_coverage_high,
    best_adjusted_rate_high,
    best_coverage_high,
    best_rate_high,
    controls_for_fpr,
    coverage_test,
    rate_bound,
    rate_test,
    records_for_auc,
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


SHARES = st.floats(0.01, 0.4)


def _defined(size: int | None) -> int:
    assert size is not None
    return size


@given(limit=SHARES, adjusted=st.booleans())
@settings(max_examples=12)
def test_the_size_to_detect_is_the_smallest_that_always_does(limit: float, adjusted: bool) -> None:
    test = rate_test(limit, 2 * limit, adjusted=adjusted)
    size = test.size_for(0.8)
    assert size is not None
    later = np.unique(np.linspace(size, 2 * size + 20, 60).round().astype(int)).tolist()
    assert min(test.power(n) for n in later) >= 0.8
    assert size == 1 or test.power(size - 1) < 0.8


@given(limit=SHARES, factor=st.floats(1.05, 3), adjusted=st.booleans())
@settings(max_examples=12)
def test_of_the_same_rate_a_stricter_limit_is_broken_sooner(limit: float, factor: float, adjusted: bool) -> None:
    strict, loose = (rate_test(one, 2 * limit, adjusted=adjusted) for one in (limit / factor, limit))
    assert _defined(strict.size_for(0.8)) <= _defined(loose.size_for(0.8))
    assert all(strict.power(n) >= loose.power(n) - 1e-12 for n in (10, 100, 1000))


# Nearer limits can take as many or fewer: whole numbers of hits make power rise and fall as samples grow.
@given(limit=SHARES, factor=st.floats(2, 3), adjusted=st.booleans())
@settings(max_examples=12)
def test_a_much_stricter_limit_or_more_certainty_takes_more(limit: float, factor: float, adjusted: bool) -> None:
    sizes = [_defined(rate_test(one, 2 * one, adjusted=adjusted).size_for(0.8)) for one in (limit / factor, limit)]
    assert sizes[0] >= sizes[1] >= samples_for_rate(limit)
    test = rate_test(limit, 2 * limit, adjusted=adjusted)
    assert _defined(test.size_for(0.95)) >= _defined(test.size_for(0.8))
    noisy, plain = rate_test(limit, 2 * limit, adjusted=True), rate_test(limit, 2 * limit)
    assert _defined(noisy.size_for(0.8)) >= _defined(plain.size_for(0.8))


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize(("limit", "samples"), [(0.01, 1300), (0.05, 250), (0.2, 90)])
def test_power_is_what_audits_of_such_a_model_show(limit: float, samples: int, adjusted: bool) -> None:
    hits = np.random.default_rng(1).binomial(samples, 2 * limit, 20_000)
    low = clopper_pearson(hits, samples)[0]
    if adjusted:
        noise = clopper_pearson(0, samples)[1]
        low = hits / samples - np.hypot(hits / samples - low, noise)
    assert rate_test(limit, 2 * limit, adjusted=adjusted).power(samples) == pytest.approx(
        np.mean(low > limit), abs=0.011
    )


@pytest.mark.parametrize("controls", [None, 500, 2000])
def test_power_of_coverage_is_no_more_than_distinct_records_show(controls: int | None) -> None:
    # 5,000 records, 100 of which a run finds by the Poisson law; the limit is half of that.
    test = coverage_test(0.01, 0.02, controls)
    hits = np.random.default_rng(2).poisson(100, 20_000)
    low = np.array([distinct_interval(np.arange(5000) < count)[0] / 5000 for count in range(hits.max() + 1)])[hits]
    noise = poisson_interval(0)[1] / controls if controls else 0.0
    low = hits / 5000 - np.hypot(hits / 5000 - low, noise)
    assert test.power(5000) == pytest.approx(np.mean(low > 0.01), abs=0.011)


@pytest.mark.parametrize("limit", [0.01, 0.05])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_power_of_coverage_is_what_the_gate_finds(limit: float, power: float) -> None:
    """Records that come out singly: as often as claimed, or oftener; several at a time: less often."""
    test, generations, runs = coverage_test(limit, 2 * limit), 20_000, 1000
    records = _defined(test.size_for(power))
    random = np.random.default_rng(11)
    failed, failed_together = 0, 0
    for _ in range(runs):
        incidence = random.poisson(-np.log1p(-2 * limit), records)
        failed += _gate_low(incidence, random.integers(0, generations, records)) > limit
        groups = np.arange(records) // 4
        together = random.poisson(-np.log1p(-2 * limit), records)[groups]
        failed_together += _gate_low(together, random.integers(0, generations, records)[groups]) > limit
    noise = 3 * np.sqrt(power * (1 - power) / runs)
    claimed = test.power(records)
    assert claimed >= power
    assert failed / runs >= claimed - noise
    assert failed_together / runs < claimed - 0.05


def _gate_low(incidence: np.ndarray, first: np.ndarray) -> float:
    """The lower end of coverage, as the gate compares it with a limit."""
    hit, none = incidence > 0, np.zeros(0, np.int64)
    first_hit = np.where(hit, first, -1)
    result = CoverageResult(0.9, 20_000, 20_000, incidence, first_hit, hit, none, 0, none, none.astype(np.float32))
    low = coverage_estimate(Scope("d", "a"), result).low
    assert low is not None
    return low


def test_coverage_needs_controls_enough_and_more_of_them_need_fewer_records() -> None:
    sizes = [_defined(coverage_test(0.05, 0.1, controls).size_for(0.8)) for controls in (150, 500, 5000, None)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= records_for_coverage(0.05)
    assert coverage_test(0.05, 0.1, 60).size_for(0.8) is None  # their own noise alone is more than the limit


@given(limit=st.floats(0.51, 0.95))
def test_so_many_records_and_no_fewer_keep_a_coin_under_a_limit(limit: float) -> None:
    def high(n: int) -> float:
        return float(expit(4 * 1.959964 * np.sqrt((2 * n + 1) / (12 * n**2))))

    enough = records_for_auc(limit)
    assert high(enough) <= limit + 1e-6
    assert enough == 1 or high(enough - 1) > limit - 1e-6


@pytest.mark.parametrize(
    "call",
    [
        lambda: rate_test(0, 0.1),
        lambda: rate_test(0.5, 1),
        lambda: coverage_test(0, 0.1),
        lambda: coverage_test(0.6, 1.2),
        lambda: records_for_auc(0.5),
    ],
)
def test_what_no_size_can_show_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="limit"):
        call()
