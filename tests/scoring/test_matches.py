"""Which matches a report shows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from auditkit.scoring.matches import bands, top_findings


def test_each_leaked_cluster_once_by_its_best_record() -> None:
    score = np.array([0.91, 0.99, 0.95, 0.5, 0.99], np.float32)
    generation = np.array([10, 11, 12, 13, 14])
    clusters = np.array([0, 0, 1, 2, 3])
    found = top_findings(score, generation, clusters, 0.9, cap=10)
    assert found.record.tolist() == [1, 4, 2]
    assert found.generation.tolist() == [11, 14, 12]
    assert found.score.tolist() == score[[1, 4, 2]].tolist()
    assert found.total == 3


def test_the_cap_keeps_the_best_and_the_total() -> None:
    score = np.linspace(0.5, 1, 100, dtype=np.float32)
    found = top_findings(score, np.arange(100), np.arange(100), 0.6, cap=3)
    assert found.record.tolist() == [99, 98, 97]
    assert found.total == int((score >= 0.6).sum())


def test_without_a_threshold_nothing_is_a_finding() -> None:
    found = top_findings(np.ones(3, np.float32), np.arange(3), np.arange(3), None, cap=5)
    assert (len(found.record), found.total) == (0, 0)


@given(st.lists(st.floats(-1, 1, width=32), max_size=80), st.integers(0, 5))
def test_every_band_shows_up_to_five_of_its_own(values: list[float], seed: int) -> None:
    scores = np.array(values, np.float32)
    found = list(bands(scores, seed=seed))
    assert sum(band.population for band in found) == len(values)
    assert [band.low for band in found] == sorted(band.low for band in found)
    for band in found:
        assert len(band.members) == min(5, band.population)
        inside = scores[band.members]
        assert np.all(inside >= band.low - 1e-6)
        assert np.all((inside < band.high + 1e-6) | (band.high == 1))
    assert [b.members.tolist() for b in bands(scores, seed=seed)] == [b.members.tolist() for b in found]


def test_the_edges_belong_to_the_band_above_and_one_to_the_last() -> None:
    found = {(band.low, band.high): band.members.tolist() for band in bands(np.array([0.95, 0.949, 1.0, -np.inf]))}
    assert found == {(0.9, 0.95): [1], (0.95, 1.0): [0, 2]}


def test_another_seed_draws_others() -> None:
    scores = np.full(1000, 0.52, np.float32)
    assert next(bands(scores, seed=1)).members.tolist() != next(bands(scores, seed=2)).members.tolist()
