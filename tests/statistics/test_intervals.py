"""The intervals hold what they promise: against published values, laws, and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditkit.statistics.intervals import (
    clopper_pearson,
    difference_interval,
    distinct_interval,
    expected_new_clusters,
    mean_difference_interval,
    poisson_interval,
    weighted_poisson_interval,
)

counts = st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts.filter(lambda pair: pair[1] > 0), st.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_agrees_with_scipy(pair: tuple[int, int], confidence: float) -> None:
    expected = stats.binomtest(*pair).proportion_ci(confidence_level=confidence, method="exact")
    low, high = clopper_pearson(*pair, confidence)
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


def test_no_trials_say_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_arrays_give_what_scalars_give() -> None:
    low, high = clopper_pearson(np.array([0, 3, 10, 0]), np.array([10, 10, 10, 0]))
    assert list(zip(low, high, strict=True)) == [clopper_pearson(k, n) for k, n in [(0, 10), (3, 10), (10, 10), (0, 0)]]


@pytest.mark.parametrize(("hits", "trials", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0), (1, 5, 0.0)])
def test_impossible_counts_are_refused(hits: int, trials: int, confidence: float) -> None:
    with pytest.raises(ValueError):
        clopper_pearson(hits, trials, confidence)


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)])
def test_garwood_table(count: int, low: float, high: float) -> None:
    assert poisson_interval(count) == pytest.approx((low, high), abs=1e-3)


def _heterogeneous(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "uniform": np.full(1000, 1e-3),
        "rare": np.full(1000, 1e-4),
        "very few": np.full(1000, 3e-6),
        "one in two thousand": np.full(50, 2e-4),
        "saturated": np.full(1000, 4e-3),
        "all found": np.full(300, 5e-3),
        "zipf": 0.3 / np.arange(1, 1001),
        "lognormal": np.exp(rng.normal(-9, 1.5, 4000)).clip(0, 0.5),
        "some certain, the rest rare": np.r_[np.full(50, 0.2), np.full(950, 1e-5)],
        "half common, half rare": np.r_[np.full(500, 0.01), np.full(500, 1e-4)],
        "small": np.full(60, 7e-4),
    }


@pytest.mark.parametrize("case", list(_heterogeneous(np.random.default_rng(0))))
def test_distinct_interval_holds_the_expected_count_in_95_percent_of_runs(case: str) -> None:
    rng = np.random.default_rng(11)
    rates, generations, runs = _heterogeneous(rng)[case], 1000, 800
    truth = float(np.sum(1 - (1 - rates) ** generations))
    held = 0
    for _ in range(runs):
        low, high = distinct_interval(rng.binomial(generations, rates))
        held += low <= truth <= high
    # 800 runs at 95 % fall under 93 % less than once in 200.
    assert held / runs >= 0.93


@given(st.lists(st.integers(0, 50), max_size=200))
def test_distinct_interval_stays_within_what_is_possible(hits: list[int]) -> None:
    low, high = distinct_interval(np.array(hits, dtype=np.int64))
    seen = sum(count > 0 for count in hits)
    assert 0 <= low <= seen <= high <= len(hits)
    assert high > low or not hits


def test_no_hit_still_leaves_doubt() -> None:
    assert distinct_interval(np.zeros(1000, dtype=np.int64)) == pytest.approx((0, 3.689), abs=1e-3)


def test_expected_new_clusters_is_what_a_second_run_adds() -> None:
    rng = np.random.default_rng(5)
    rates = np.exp(rng.normal(-7, 1.5, 5000)).clip(0, 0.5)
    first = rng.binomial(1000, rates, size=(40, 5000))
    second = rng.binomial(1000, rates, size=(40, 5000))
    added = np.mean(np.sum((first == 0) & (second > 0), axis=1))
    assert np.mean([expected_new_clusters(run) for run in first]) == pytest.approx(added, rel=0.05)


def test_difference_interval_agrees_with_newcombes_example() -> None:
    """56/70 against 48/80 [Newcombe 1998, method 10 without correction]: 0.0524 to 0.3339 from Wilson ends."""
    a = (0.8, *stats.binomtest(56, 70).proportion_ci(method="wilson"))
    b = (0.6, *stats.binomtest(48, 80).proportion_ci(method="wilson"))
    assert difference_interval(*a, *b) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.3), st.floats(0, 0.3))
def test_difference_interval_is_antisymmetric(a: float, b: float, down: float, up: float) -> None:
    forward = difference_interval(a, a - down, a + up, b, b - up, b + down)
    backward = difference_interval(b, b - up, b + down, a, a - down, a + up)
    assert forward[0] == pytest.approx(-backward[1])
    assert forward[0] <= a - b + 1e-12
    assert a - b <= forward[1] + 1e-12


def test_mean_difference_interval_is_welch() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.6, 0.1, 50), rng.normal(0.5, 0.3, 20)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert mean_difference_interval(a, b) == pytest.approx((expected.low, expected.high))


def test_mean_difference_needs_two_values_a_side() -> None:
    with pytest.raises(ValueError):
        mean_difference_interval(np.array([1.0]), np.array([1.0, 2.0]))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.floats(0.01, 5))
def test_equal_weights_give_the_poisson_interval_of_the_sum(hits: list[int], weight: float) -> None:
    ends = weighted_poisson_interval(hits, np.full(len(hits), weight))
    assert ends == pytest.approx([weight * end for end in poisson_interval(sum(hits))])


@pytest.mark.parametrize("scale", [0.3, 2.0, 20.0])
def test_a_weighted_sum_is_held_in_at_least_95_percent_of_runs(scale: float) -> None:
    rng = np.random.default_rng(11)
    means, weights = scale * np.array([0.2, 1.0, 3.0, 0.5]), np.array([4.0, 1.0, 0.3, 2.0])
    truth = float(means @ weights)
    ends = [weighted_poisson_interval(row, weights) for row in rng.poisson(means, (1500, 4))]
    assert np.mean([low <= truth <= high for low, high in ends]) >= 0.945
    assert min(high for _, high in ends) > 0


@pytest.mark.parametrize(("counts", "weights"), [([], []), ([-1], [1]), ([1], [0]), ([1, 2], [1, -1])])
def test_what_is_no_weighted_sum_is_refused(counts: list[int], weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        weighted_poisson_interval(counts, weights)
