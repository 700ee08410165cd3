"""Coverage over blocks against counting on the whole matrix of scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.scoring import coverage as coverage_module
from auditkit.scoring.base import Vectors
from auditkit.scoring.coverage import Coverage, coverage_curve, curve_points, random_subsets
from auditkit.scoring.vectors.products import as_scores, exact_scores
from auditkit.statistics.intervals import distinct_interval
from tests.scoring.vectors.test_index import unit


def all_scores(queries: Vectors, vectors: Vectors) -> np.ndarray:
    n, m = len(queries), len(vectors)
    pairs = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    return as_scores(exact_scores(queries, vectors, *pairs)).reshape(n, m)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.lists(st.integers(1, 12), max_size=5), st.integers(1, 30))
def test_is_counting_on_the_whole_matrix(seed: int, records: int, blocks: list[int], subsample: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, clusters = unit(rng, records, 3), rng.integers(5, 5 + records, records)
    generations = unit(rng, sum(blocks), 3)
    scored = rng.random(len(generations)) < 0.7
    cover = Coverage(vectors, clusters, 0.8, subsample=subsample, seed=9)
    start = 0
    for size in blocks:
        cover.add(generations[start : start + size], start, scored[start : start + size])
        start += size
    found = cover.result()

    hit = all_scores(generations, vectors) >= 0.8
    labels = np.unique(clusters)
    cluster_hit = np.stack([hit[:, clusters == label].any(axis=1) for label in labels], axis=1)
    assert found.generations == len(generations)
    assert found.scored == scored.sum()
    assert found.incidence.tolist() == cluster_hit.sum(axis=0).tolist()
    first = np.where(cluster_hit.any(axis=0), cluster_hit.argmax(axis=0), -1) if len(generations) else found.first_hit
    assert found.first_hit.tolist() == first.tolist()
    assert found.record_hit.tolist() == hit.any(axis=0).tolist()
    subsets = random_subsets(records, subsample, 9)
    expected = [int((hit[:, subset].any(axis=1) & scored).sum()) for subset in subsets]
    assert found.draw_hits.tolist() == expected
    assert found.share == cluster_hit.any(axis=0).sum() / len(labels)


def test_small_parts_of_a_block_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    vectors, generations = unit(rng, 20, 3), unit(rng, 50, 3)

    def reached() -> list[list[int]]:
        cover = Coverage(vectors, np.arange(20), 0.7, subsample=5)
        cover.add(generations, 100)
        found = cover.result()
        return [found.incidence.tolist(), found.first_hit.tolist(), found.draw_hits.tolist(), found.best_index.tolist()]

    whole = reached()
    monkeypatch.setattr(coverage_module, "MOST_AT_ONCE", 7)
    assert reached() == whole
    assert min(whole[3]) >= 100


def test_the_nearest_generation_is_named_by_its_ordinal() -> None:
    rng = np.random.default_rng(2)
    vectors = unit(rng, 4)
    cover = Coverage(vectors, np.arange(4), None)
    cover.add(vectors[[2, 0]], 10)
    cover.add(vectors[[3, 1, 0]], 50)
    found = cover.result()
    assert found.best_index.tolist() == [11, 51, 10, 50]
    assert np.allclose(found.best_score, 1)
    assert found.share is None
    assert found.clusters_hit == 0


def test_a_cut_generation_covers_but_does_not_count_in_rates() -> None:
    rng = np.random.default_rng(3)
    vectors = unit(rng, 5)
    cover = Coverage(vectors, np.arange(5), 0.9)
    cover.add(vectors[:2], 0, np.array([True, False]))
    found = cover.result()
    assert found.records_hit == found.clusters_hit == 2
    assert found.draw_hits.tolist() == [1]
    assert found.scored == 1


def test_near_duplicates_count_once() -> None:
    rng = np.random.default_rng(4)
    vectors = np.repeat(unit(rng, 2), [9, 1], axis=0)
    cover = Coverage(vectors, np.array([7] * 9 + [8]), 0.9)
    cover.add(vectors[:1], 0)
    found = cover.result()
    assert found.records_hit == 9
    assert (found.clusters_hit, found.clusters, found.share) == (1, 2, 0.5)
    assert found.interval() == tuple(end / 2 for end in distinct_interval(np.array([1, 0])))


def test_curve() -> None:
    curve = coverage_curve(np.array([0, 4, 4, -1]), np.array([0, 1, 4, 5, 100]))
    assert curve.tolist() == [0, 0.25, 0.25, 0.75, 0.75]
    assert coverage_curve(np.zeros(0, np.int64), np.array([0, 5])).tolist() == [0, 0]


def test_curve_points_run_from_none_to_all() -> None:
    assert curve_points(20_000).tolist()[::20] == [0, 10_000, 20_000]
    assert curve_points(3).tolist() == [0, 1, 2, 3]
    assert curve_points(0).tolist() == [0]


def test_subsets_have_the_asked_size_and_follow_the_seed() -> None:
    subsets = random_subsets(100, 30, 1)
    assert subsets.shape == (20, 100)
    assert set(subsets.sum(axis=1).tolist()) == {30}
    assert len({row.tobytes() for row in subsets}) == 20
    np.testing.assert_array_equal(subsets, random_subsets(100, 30, 1))
    assert random_subsets(100, 100, 1).shape == (1, 100)


def test_labels_must_fit_the_records() -> None:
    with pytest.raises(ValueError):
        Coverage(unit(np.random.default_rng(5), 3), np.arange(2), 0.5)
