"""Rates against the threshold: through the adjusted rate at tau, falling, over equally many records of each side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.scoring.coverage import Coverage, random_subsets
from auditkit.scoring.metrics import Scope, adjusted_semantic_rate, drawn_difference, drawn_rate
from auditkit.scoring.threshold_curve import DrawnHits, count_hits, length_subsets, thinning, threshold_grid
from auditkit.statistics.length_matching import match_lengths
from auditkit.statistics.roc import auc

SCOPE = Scope("d", "a")


def _vectors(rng: np.random.Generator, rows: int) -> np.ndarray:
    made = rng.normal(size=(rows, 6))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def _sides(seed: int, members: int = 60, controls: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    queries = _vectors(rng, 300)
    return queries, rng.random(300) < 0.9, _vectors(rng, members), _vectors(rng, controls)


def _drawn(seed: int, members: int, controls: int, tau: float) -> DrawnHits:
    queries, scored, ours, theirs = _sides(seed, members, controls)
    size, grid = min(members, controls), threshold_grid(tau)
    found, by_chance = (
        count_hits(queries, scored, side, random_subsets(len(side), size, seed), grid) for side in (ours, theirs)
    )
    return DrawnHits(grid, found, by_chance, int(scored.sum()), size)


@given(st.integers(0, 50), st.sampled_from([(60, 25), (25, 60), (30, 30), (1, 4)]), st.floats(0.3, 0.99))
@settings(max_examples=15)
def test_the_curve_goes_through_the_adjusted_rate(seed: int, sizes: tuple[int, int], tau: float) -> None:
    tau = float(np.float32(tau))
    queries, scored, *sides = _sides(seed, *sizes)
    covered = []
    for vectors in sides:
        coverage = Coverage(vectors, np.arange(len(vectors)), tau, subsample=min(sizes), seed=seed)
        coverage.add(queries, 0, scored)
        covered.append(coverage.result())
    estimate = adjusted_semantic_rate(SCOPE, *covered)
    hits = _drawn(seed, *sizes, tau)
    for drawn, side in zip(hits.at(tau), covered, strict=True):
        assert np.broadcast_to(drawn, side.draw_hits.shape).tolist() == side.draw_hits.tolist()
    assert drawn_difference(*hits.at(tau), hits.scored) == (estimate.value, estimate.low, estimate.high)


def test_rates_fall_as_the_threshold_rises_and_stay_in_their_intervals() -> None:
    hits = _drawn(3, 60, 25, 0.77)
    assert (np.diff(hits.thresholds) > 0).all()
    assert 0.77 in hits.thresholds
    for side in (hits.members, hits.controls):
        assert (np.diff(side, axis=1) <= 0).all()
        for counts in side.T:
            value, low, high = drawn_rate(counts, hits.scored)
            assert 0 <= low <= value <= high
    with pytest.raises(ValueError, match="threshold"):
        hits.at(0.7777)


def test_identical_texts_reach_the_highest_threshold() -> None:
    vectors = _vectors(np.random.default_rng(4), 50)
    everything = np.ones((1, 50), bool)
    reached = count_hits(vectors, np.ones(50, bool), vectors, everything, threshold_grid(None))
    assert reached[0].tolist() == [50] * len(threshold_grid(None))


def test_only_whole_generations_count_and_thinned_out_ones_do_not() -> None:
    queries, scored, members, _ = _sides(5)
    everything, bar = np.ones((1, 60), bool), np.array([-1.0])
    assert count_hits(queries, scored, members, everything, bar).item() == scored.sum()
    assert count_hits(queries, scored, members, everything, bar, every=7).item() == scored[::7].sum()


def test_generations_are_thinned_out_only_where_it_would_take_hours() -> None:
    assert thinning(20_000, 20, 500) == 1
    assert thinning(1_000_000, 20, 500) == 1
    every = thinning(1_000_000, 20, 200_000)
    assert 1_000_000 / every * 20 * 200_000 <= 1e11
    assert thinning(0, 0, 0) == 1


@given(
    st.lists(st.integers(1, 60), min_size=0, max_size=150),
    st.lists(st.integers(20, 90), min_size=0, max_size=150),
    st.integers(0, 9),
)
@settings(max_examples=30)
def test_drawn_to_one_length_both_sides_are_equally_many_in_every_stratum(
    members: list[int], controls: list[int], seed: int
) -> None:
    ours, theirs = length_subsets(members, controls, seed)
    assert (ours.shape[1], theirs.shape[1]) == (len(members), len(controls))
    assert len(ours) == len(theirs)
    strata = match_lengths(members, controls).strata
    for mine, other in zip(ours, theirs, strict=True):
        assert np.bincount(strata.members[mine]).tolist() == np.bincount(strata.controls[other]).tolist()


def test_lengths_are_those_of_the_controls() -> None:
    rng = np.random.default_rng(6)
    members, controls = rng.gamma(4, 60, 3000).round(), rng.gamma(8, 45, 400).round()
    ours, theirs = length_subsets(members, controls, 1)
    assert theirs[0].sum() >= 200
    drawn, wanted = np.mean([members[row].mean() for row in ours]), np.mean([controls[row].mean() for row in theirs])
    assert abs(drawn - wanted) < 0.15 * abs(members.mean() - controls.mean())
    assert not np.array_equal(ours[0], ours[1])  # drawn anew, where there is a choice


@pytest.mark.parametrize("longer", [(300, 100), (150, 100), (100, 250)])
def test_length_tells_nothing_of_what_was_drawn(longer: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    members, controls = (
        rng.lognormal(np.log(middle), 0.6, n) for middle, n in zip(longer, (20_000, 1000), strict=True)
    )
    ours, theirs = length_subsets(members, controls, 1)
    assert theirs[0].sum() > 100
    aucs = [auc(members[mine], controls[other]).value for mine, other in zip(ours, theirs, strict=True)]
    assert abs(np.mean(aucs) - 0.5) < 0.01


def test_nothing_is_drawn_where_the_controls_proportions_cannot_be_had() -> None:
    """100 short members for 2000 short controls: of the long ones half a record would be drawn."""
    members, controls = np.r_[[10] * 150, [500] * 10_000], np.r_[[10] * 20_000, [500] * 60, [501] * 300]
    match = match_lengths(members, controls)
    ours, theirs = length_subsets(members, controls, 0)
    assert len(ours) == len(theirs) == 0
    assert not match.reason
    assert "too rare among the members" in match.draw_reason


def test_a_handful_of_members_does_not_stand_for_the_mass_of_the_controls() -> None:
    members = np.r_[np.full(20, 10), np.linspace(500, 1000, 10_000)].astype(int)
    controls = np.r_[np.full(2000, 10), np.linspace(500, 1000, 60)].astype(int)
    ours, theirs = length_subsets(members, controls, 0)
    assert not ours[:, :20].any()
    assert not theirs[:, :2000].any()
    assert theirs[0].sum() > 30


def test_nothing_is_drawn_where_no_lengths_are_shared() -> None:
    ours, theirs = length_subsets([10, 11, 12], [100, 101, 102], 0)
    assert not ours.any()
    assert not theirs.any()
