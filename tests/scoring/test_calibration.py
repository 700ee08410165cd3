"""The threshold keeps its promise, on the controls that set it and on ones that did not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.scoring.calibration import best_of_clusters, calibrate, split_controls
from auditkit.statistics.intervals import clopper_pearson
from auditkit.statistics.power import controls_for_fpr


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(368, 1500), st.sampled_from([0.01, 0.02, 0.05, 0.2]), st.booleans())
def test_the_law_of_the_threshold(seed: int, n: int, rate: float, coarse: bool) -> None:
    """The interval of the share reaching tau is within the rate, and one float32 lower it is not."""
    scores = np.random.default_rng(seed).beta(5, 3, n).astype(np.float32) * np.float32(0.99)
    scores = np.round(scores, 1) * np.float32(0.9) if coarse else scores  # many ties
    found = calibrate(scores, rate)
    assert found.threshold is not None
    reaching = int((scores >= found.threshold).sum())
    assert found.fpr == reaching / n
    assert found.fpr_high == clopper_pearson(reaching, n)[1] <= rate
    lower = np.nextafter(np.float32(found.threshold), np.float32(-1))
    assert clopper_pearson(int((scores >= lower).sum()), n)[1] > rate


def test_the_rate_holds_on_fresh_controls() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        found = calibrate(rng.normal(0.5, 0.1, 800).astype(np.float32), 0.02)
        assert found.threshold is not None
        held += (rng.normal(0.5, 0.1, 20_000) >= found.threshold).mean() <= 0.02
    assert held / 300 >= 0.95


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_one_control_too_few_is_uncalibrated(rate: float) -> None:
    needed = controls_for_fpr(rate)
    scores = np.linspace(0.1, 0.8, needed, dtype=np.float32)
    found = calibrate(scores, rate)
    assert found.threshold == np.nextafter(np.float32(0.8), np.float32(1))
    assert found.fpr == 0
    few = calibrate(scores[1:], rate)
    assert (few.threshold, few.fpr, few.fpr_high) == (None, None, None)
    assert f"{needed:,}" in few.reason
    assert f"{needed - 1:,}" in few.reason


def test_no_controls_are_uncalibrated() -> None:
    assert calibrate(np.zeros(0, np.float32), 0.01).threshold is None


def test_controls_that_repeat_members_leave_no_threshold() -> None:
    scores = np.r_[np.full(30, 1.0), np.linspace(0.1, 0.5, 500)].astype(np.float32)
    found = calibrate(scores, 0.01)
    assert found.threshold is None
    assert "repeat members" in found.reason


labels = st.lists(st.integers(0, 12), min_size=0, max_size=60)


@given(labels)
def test_the_halves_are_a_partition_that_keeps_clusters_whole(clusters: list[int]) -> None:
    ids = [f"{i:04x}" for i in range(len(clusters))]
    calibration, evaluation = split_controls(ids, clusters)
    assert sorted([*calibration.tolist(), *evaluation.tolist()]) == list(range(len(ids)))
    assert not {clusters[i] for i in calibration} & {clusters[i] for i in evaluation}
    largest = max((clusters.count(label) for label in clusters), default=0)
    assert abs(len(calibration) - len(evaluation)) <= largest


@given(st.permutations(list(range(30))))
def test_the_split_follows_the_ids_and_not_their_order(order: list[int]) -> None:
    ids = [f"record-{i}" for i in range(30)]
    shuffled = [ids[i] for i in order]
    calibration, _ = split_controls(ids)
    again, _ = split_controls(shuffled)
    assert {ids[i] for i in calibration} == {shuffled[i] for i in again}


def test_without_clusters_the_halves_are_equal() -> None:
    calibration, evaluation = split_controls([str(i) for i in range(1319)])
    assert (len(calibration), len(evaluation)) == (660, 659)
    assert calibration.tolist() != list(range(660))


def test_every_id_needs_its_label() -> None:
    with pytest.raises(ValueError):
        split_controls(["a", "b"], [0])


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(-1, 1, width=32)), max_size=40))
def test_of_each_cluster_the_best_score_counts(pairs: list[tuple[int, float]]) -> None:
    clusters, scores = [label for label, _ in pairs], np.array([score for _, score in pairs], np.float32)
    best = best_of_clusters(scores, clusters)
    assert best.tolist() == [float(scores[np.array(clusters) == label].max()) for label in sorted(set(clusters))]
    with pytest.raises(ValueError, match="one cluster label"):
        best_of_clusters(scores, [*clusters, 0])


def test_copies_of_a_control_are_no_evidence() -> None:
    scores = np.tile(np.random.default_rng(5).normal(0.5, 0.1, 40).astype(np.float32), 30)
    assert calibrate(scores, 0.01).threshold is not None  # what 1,200 distinct ones would show
    found = calibrate(best_of_clusters(scores, np.arange(1200) % 40), 0.01)
    assert found.threshold is None
    assert "40" in found.reason
