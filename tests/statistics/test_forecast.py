"""Forecasts hold what they promise: laws, hand-made cases, and simulated runs that went on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.statistics.forecast import (
    forecast_clusters,
    hits_together,
    reachable_clusters,
    same_fate,
    unseen_mass,
)

counts = st.lists(st.integers(0, 30), min_size=1, max_size=100).map(lambda hits: np.array(hits, np.int64))


@given(counts, st.integers(30, 100), st.floats(0, 1))
def test_a_forecast_lies_between_what_was_seen_and_all_there_is(
    hits: np.ndarray, generations: int, more: float
) -> None:
    seen = int(np.count_nonzero(hits))
    budget = generations + int(more * generations)
    for found in (forecast_clusters(hits, generations, budget), reachable_clusters(hits, generations)):
        assert seen <= found.low <= found.value <= found.high <= len(hits)


@given(counts, st.integers(30, 100))
def test_what_is_not_continued_stays_as_it_is(hits: np.ndarray, generations: int) -> None:
    found = forecast_clusters(hits, generations, generations)
    assert found.low == found.value == found.high == np.count_nonzero(hits)


@given(counts, st.integers(30, 100))
def test_unseen_mass_has_an_interval_that_never_vanishes(hits: np.ndarray, generations: int) -> None:
    found = unseen_mass(hits, generations)
    assert 0 <= found.low <= found.value < found.high
    assert found.value == np.count_nonzero(hits == 1) / generations


def test_chao_by_hand() -> None:
    # 10 seen, 6 of them once, 3 twice: 10 + 99/100 * 36 / 6.
    hits = np.r_[np.ones(6), np.full(3, 2), [40], np.zeros(40)].astype(np.int64)
    assert reachable_clusters(hits, 100).value == pytest.approx(10 + 0.99 * 36 / 6)
    # None twice: 7 seen, 6 of them once: 7 + 99/100 * 6 * 5 / 2; and capped at what there is.
    hits = np.r_[np.ones(6), [40], np.zeros(40)].astype(np.int64)
    assert reachable_clusters(hits, 100).value == pytest.approx(7 + 0.99 * 15)
    assert reachable_clusters(hits[:10], 100).value == 10


RATES = {
    "uniform": np.full(800, 1e-3),
    "rare": np.full(1000, 2e-4),
    "zipf": 0.3 / np.arange(1, 801),
    "lognormal": np.exp(np.random.default_rng(3).normal(-8, 1.5, 900)).clip(0, 0.5),
    "half common, half rare": np.r_[np.full(200, 0.01), np.full(400, 3e-4)],
}


@pytest.mark.parametrize("case", list(RATES))
@pytest.mark.parametrize("more", [0.5, 1.0])
def test_prediction_intervals_hold_the_outcome_of_95_percent_of_runs_that_go_on(case: str, more: float) -> None:
    rng, rates, generations, runs = np.random.default_rng(5), RATES[case], 1000, 500
    budget = int(generations * (1 + more))
    first = rng.binomial(generations, rates, (runs, len(rates)))
    outcome = np.count_nonzero(first + rng.binomial(budget - generations, rates, first.shape), axis=1)
    found = [forecast_clusters(row, generations, budget) for row in first]
    held = np.mean([one.low <= came <= one.high for one, came in zip(found, outcome, strict=True)])
    # 500 runs at 95 % fall under 92 % less than once in 500; a wider interval than that would say nothing.
    assert 0.92 <= held <= 0.99
    assert np.mean([one.value for one in found]) == pytest.approx(outcome.mean(), rel=0.03)


@pytest.mark.parametrize("case", list(RATES))
def test_unseen_mass_holds_what_each_run_left_unseen(case: str) -> None:
    rng, rates, generations = np.random.default_rng(6), RATES[case], 1000
    first = rng.binomial(generations, rates, (500, len(rates)))
    found = [unseen_mass(row, generations) for row in first]
    unseen = (first == 0) @ rates
    held = np.mean([one.low <= left <= one.high for one, left in zip(found, unseen, strict=True)])
    assert 0.92 <= held <= 0.99


def test_reachable_is_a_lower_bound_also_where_rates_differ_much() -> None:
    rng = np.random.default_rng(7)
    rates = np.exp(rng.normal(-7, 2, 500)).clip(0, 0.5)
    low = [reachable_clusters(rng.binomial(1000, rates), 1000).low for _ in range(300)]
    assert np.mean(np.array(low) <= 500) >= 0.975


def test_clusters_that_come_together_scatter_more_and_the_interval_knows() -> None:
    rng, generations, size = np.random.default_rng(8), 500, 4
    rates = np.full(200, 1e-3)  # of groups of four clusters that always come in one generation
    held = {True: 0, False: 0}
    for _ in range(300):
        hit_by = [np.flatnonzero(rng.random(2 * generations) < rate) for rate in rates]
        groups = np.array([np.count_nonzero(hits < generations) for hits in hit_by])
        first = np.array([hits[0] if len(hits) else -1 for hits in hit_by])
        row, hit = np.repeat(groups, size), np.repeat(first, size)
        outcome = size * sum(len(hits) > 0 for hits in hit_by)
        together = hits_together(row, hit, generations)
        assert together == pytest.approx(size, rel=0.3)  # but for what chance brings together
        for known in held:
            found = forecast_clusters(row, generations, 2 * generations, together=together if known else 1.0)
            held[known] += found.low <= outcome <= found.high
    assert held[True] / 300 >= 0.92
    assert held[False] / 300 < 0.8  # or the correction would correct nothing


def test_hits_together_of_strangers_is_one() -> None:
    assert hits_together(np.array([1, 1, 2, 0]), np.array([4, 9, 4, -1]), 10) == 1
    assert hits_together(np.array([0, 5]), np.array([-1, 2]), 10) == 1
    assert hits_together(np.array([1, 1, 1]), np.array([4, 4, 7]), 30) == pytest.approx(5 / 3 - 3 / 30)


@pytest.mark.parametrize(
    ("hits", "generations", "budget", "together"),
    [([1], 0, 0, 1), ([3], 2, 3, 1), ([-1], 2, 3, 1), ([1], 10, 21, 1), ([1], 10, 9, 1), ([1], 10, 12, 0.5)],
)
def test_what_is_no_run_is_refused(hits: list[int], generations: int, budget: int, together: float) -> None:
    with pytest.raises(ValueError, match=r"forecast|cluster|run|generation"):
        forecast_clusters(np.array(hits), generations, budget, together=together)


def _groups_that_part(rng: np.random.Generator, generations: int, rates: np.ndarray, kept: float) -> np.ndarray:
    """(clusters, generations) of groups of five: each cluster comes with its group with this chance, or by itself."""
    called = rng.random((len(rates), generations)) < rates[:, None] / kept
    hits = np.repeat(called, 5, axis=0) & (rng.random((5 * len(rates), generations)) < kept)
    return np.asarray(hits)


# Rates of the groups, the chance to come with one's group, and how much narrower knowing who parts makes the interval.
PROFILES = {
    "zipf": (0.15 / np.arange(1, 101), 1.0, 1.0),
    "two levels": (np.r_[np.full(20, 0.03), np.full(80, 8e-4)], 1.0, 1.0),
    "near-duplicates that part": (0.15 / np.arange(1, 101), 0.4, 0.9),
    "near-duplicates that hardly meet": (np.full(100, 2e-3), 0.15, 1.0),
}


@pytest.mark.parametrize("case", list(PROFILES))
def test_a_forecast_that_knows_who_parts_holds_in_92_to_98_percent_of_runs(case: str) -> None:
    rng, generations, (rates, kept, narrowing) = np.random.default_rng(21), 400, PROFILES[case]
    held, widths = 0, []
    for _ in range(250):
        hits = _groups_that_part(rng, 2 * generations, rates, kept)
        counts, first = hits[:, :generations].sum(axis=1), hits[:, :generations].argmax(axis=1)
        together, fate = hits_together(counts, first, generations), same_fate(counts, first)
        found = forecast_clusters(counts, generations, 2 * generations, together=together, fate=fate)
        careful = forecast_clusters(counts, generations, 2 * generations, together=together)
        held += bool(found.low <= np.count_nonzero(hits.any(axis=1)) <= found.high)
        widths.append((found.high - found.low, careful.high - careful.low))
    assert 0.92 <= held / 250 <= 0.985
    known, careful_width = np.mean(widths, axis=0)
    assert known <= 1.02 * narrowing * careful_width


def test_same_fate_by_hand() -> None:
    # Of three clusters that generation 4 hit first, two were hit once and one twice; two others began alone.
    fate = same_fate(np.array([1, 1, 2, 1, 3, 0]), np.array([4, 4, 4, 5, 6, -1]))
    assert fate.pairs.tolist() == [2, 0, 0, 0, 0, 0, 0, 0]
    assert fate.share == pytest.approx(2 / 6)
    assert same_fate(np.array([0, 1]), np.array([-1, 2])).share == 0
