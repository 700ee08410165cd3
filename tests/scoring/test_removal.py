"""Predicted coverage without the top of a removal list, held against draws in which its assumptions are true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.scoring.removal import hit_again, predicted_coverage


def _hits(rates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(rates)


def test_nothing_removed_is_what_is() -> None:
    hits = np.array([0, 0, 5, 1, 0])
    found = predicted_coverage(hits, [np.array([], int)], 1, 100)
    assert found.coverage[0] == pytest.approx(2 / 5) and found.low[0] < 0.4 < found.high[0]


def test_all_removed_is_the_controls_rate() -> None:
    hits = np.array([3] * 40 + [0] * 60)
    found = predicted_coverage(hits, [np.arange(100)], 4, 200)
    assert found.coverage[0] == pytest.approx(0.02) and 0 <= found.low[0] < 0.02 < found.high[0] < 0.1


def test_without_controls_chance_may_be_anything() -> None:
    found = predicted_coverage(np.array([3] * 10), [np.arange(10)], 0, 0)
    assert found.low[0] < 0.1 and found.high[0] > 0.99


def test_where_the_assumptions_hold_the_interval_holds_the_outcome() -> None:
    """Kept clusters are hit at their old rates, removed ones at the controls'."""
    rng = np.random.default_rng(7)
    rates = np.concatenate([rng.gamma(0.5, 4.0, 200), np.full(300, 0.03)])
    chance, inside, runs = 0.05, 0, 400
    for _ in range(runs):
        hits = _hits(rates, rng)
        listed = np.argsort(-hits, kind="stable")[: np.count_nonzero(hits) // 2]
        again = _hits(rates, rng)
        again[listed] = rng.random(len(listed)) < chance
        controls = int(rng.binomial(400, chance))
        found = predicted_coverage(hits, [listed], controls, 400)
        inside += bool(found.low[0] <= np.mean(again > 0) <= found.high[0])
    assert inside / runs >= 0.93


def test_a_list_of_all_that_was_hit_leaves_what_had_bad_luck() -> None:
    """Each of 400 clusters is hit once a run on average: without those that were, others come out next time."""
    rng = np.random.default_rng(3)
    hits = rng.poisson(np.ones(400))
    found = predicted_coverage(hits, [np.flatnonzero(hits)], 0, 500)
    left = np.mean(rng.poisson(np.ones(400))[hits == 0] > 0) * np.mean(hits == 0)
    assert found.low[0] <= left <= found.high[0] and found.coverage[0] > 0.15


def test_what_was_hit_often_is_hit_again() -> None:
    again = hit_again(np.array([0] * 500 + [1] * 5 + [50] * 20))
    assert again[-1] > 0.999 and again[0] < 0.05 and again[0] < again[502] < again[-1]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 20))
def test_shares_are_shares_and_more_removed_is_less(hits: list[int], controls_hit: int) -> None:
    counts = np.array(hits)
    order = np.argsort(-counts, kind="stable")
    found = predicted_coverage(counts, [order[:n] for n in range(len(hits) + 1)], controls_hit, 200)
    assert ((found.low >= 0) & (found.low <= found.coverage + 1e-12) & (found.high <= 1)).all()
    assert (found.coverage <= found.high + 1e-12).all()
    if not controls_hit:
        assert (np.diff(found.coverage) <= 1e-12).all()
