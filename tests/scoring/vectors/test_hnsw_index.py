"""Approximate search: exact scores, ties as everywhere, everything within the threshold, and its misses measured."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from auditkit.errors import MissingExtraError
from auditkit.scoring.base import Index, IndexChoice, Search, Vectors
from auditkit.scoring.coverage import Coverage
from auditkit.scoring.vectors import hnsw_index, hnsw_search, hnsw_tuning
from auditkit.scoring.vectors.exact_search import ExactSearch
from auditkit.scoring.vectors.hnsw_index import HnswIndex
from auditkit.scoring.vectors.index import best_vector_matches
from auditkit.statistics.intervals import clopper_pearson
from tests.scoring.vectors.test_index import unit

POOR = HnswIndex(kind="hnsw", m=4, ef_construction=16, ef=10)
ASKED, CHOSEN = IndexChoice("hnsw"), IndexChoice("hnsw", "exact search would take long")


def clustered(rng: np.random.Generator, n: int, width: int = 16, around: int = 40) -> Vectors:
    rows = unit(rng, n // around, width)[rng.integers(0, n // around, n)] + 0.1 * unit(rng, n, width)
    made: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return made


def hits_of(search: Search, queries: Vectors, block: int = 77) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    for start in range(0, len(queries), block):

        def take(rows: Index, columns: Index, start: int = start) -> None:
            found.update(zip((rows + start).tolist(), columns.tolist(), strict=True))

        search.add(queries[start : start + block], take)
    return found


def test_finds_what_exact_search_finds_and_says_how_often() -> None:
    rng = np.random.default_rng(1)
    vectors, queries = unit(rng, 3000, 16), unit(rng, 700, 16)
    index, score, use = HnswIndex(kind="hnsw").best(queries, vectors)
    exact_index, exact_score = best_vector_matches(queries, vectors, "exact")
    share = float(np.mean(index == exact_index))
    assert share > 0.98
    np.testing.assert_array_equal(score[index == exact_index], exact_score[index == exact_index])
    assert use.queries == 700  # all of them, where there are so few
    assert use.recall_at_1 >= 0.999


def test_measured_recall_tells_of_a_poor_graph() -> None:
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng, 6000, 64), unit(rng, 400, 64)
    _, score, use = POOR.best(queries, vectors)
    _, exact = best_vector_matches(queries, vectors, "exact")
    assert use.queries == 400
    assert use.recall_at_1 == pytest.approx(float(np.mean(score >= exact)))
    assert use.recall_at_1 < 0.9
    assert "not reached" in use.reason


def test_a_choice_for_speed_falls_back_to_exact_where_the_recall_is_not_reached() -> None:
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng, 6000, 64), unit(rng, 400, 64)
    search = POOR.open(vectors, CHOSEN).search(queries)
    index, _ = search.add(queries)
    np.testing.assert_array_equal(index, best_vector_matches(queries, vectors, "exact")[0])
    assert (search.use.kind, search.use.recall_at_1) == ("exact", 1.0)
    assert search.use.reason.startswith("exact search would take long; but its recall@1 came to")


def test_a_better_graph_is_built_where_no_effort_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    vectors, queries = unit(rng, 4000, 48), unit(rng, 300, 48)
    monkeypatch.setattr(hnsw_index, "STEPS", ((4, 16), (32, 200)))
    monkeypatch.setattr("auditkit.scoring.vectors.hnsw_tuning.EFFORTS", (16, 256))
    _, _, use = HnswIndex(kind="hnsw").best(queries, vectors)
    assert use.reason.startswith("m 32, ef_construction 200, ef 256")
    assert use.recall_at_1 >= 0.99


def test_is_the_same_every_time() -> None:
    rng = np.random.default_rng(3)
    vectors, queries = unit(rng, 2000, 32), unit(rng, 300, 32)
    first, second = POOR.best(queries, vectors), POOR.best(queries, vectors)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_ties_go_to_the_lowest_of_many_copies() -> None:
    rng = np.random.default_rng(4)
    vectors = np.repeat(unit(rng, 20, 8), 50, axis=0)
    index, score, _ = HnswIndex(kind="hnsw").best(vectors[::50], vectors)
    assert index.tolist() == list(range(0, 1000, 50))
    np.testing.assert_allclose(score, 1, atol=1e-6)


def test_finds_every_record_within_the_threshold_however_many_there_are() -> None:
    rng = np.random.default_rng(5)
    vectors, queries = clustered(rng, 3000), clustered(rng, 200)
    queries[:100] = vectors[:100]
    vectors[1000:1060] = vectors[7]  # copies, which the graph does not hold
    queries[150] = 0
    exact, search = ExactSearch(vectors, 0.95), HnswIndex(kind="hnsw").open(vectors, ASKED).search(queries, 0.95)
    truth = hits_of(exact, queries)
    found = hits_of(search, queries)
    assert len(truth) > 3000  # far more than the candidates that are looked at first
    assert not found - truth
    assert len(found) >= 0.999 * len(truth)
    assert search.use.pairs > 0
    assert search.use.pair_recall is not None
    assert search.use.pair_recall >= 0.99
    # Of what was found, the nearest query of each record is exact, and known for every record that was hit.
    hit = np.unique([record for _, record in found])
    np.testing.assert_array_equal(search.nearest[0][hit], exact.nearest[0][hit])
    np.testing.assert_array_equal(search.nearest[1][hit], exact.nearest[1][hit])


def test_what_is_cut_short_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    vectors, queries = clustered(rng, 2000, around=200), unit(rng, 10, 16)
    queries[0] = vectors[0]
    monkeypatch.setattr(hnsw_search, "MOST", 40)
    search = HnswIndex(kind="hnsw").open(vectors, ASKED).search(queries, 0.9)
    found = hits_of(search, queries[:1])
    assert len(found) == 40
    assert search.use.cut == 1
    assert "1 queries have more than 40 records within the threshold" in search.use.reason


def test_the_sample_is_of_queries_near_the_threshold() -> None:
    rng = np.random.default_rng(7)
    vectors = unit(rng, 2000, 32)
    queries = np.concatenate([unit(rng, 1500, 32), vectors[:700]])
    use = HnswIndex(kind="hnsw").open(vectors, ASKED).search(queries, 0.97).use
    assert use.queries >= 500
    assert use.recall_at_1 >= 0.999
    assert "sampled queries near the threshold or above" in use.reason


def test_coverage_by_a_graph_is_coverage() -> None:
    rng = np.random.default_rng(8)
    vectors, generations = clustered(rng, 1000), clustered(rng, 400)
    generations[::2] = vectors[rng.integers(0, 1000, 200)]
    clusters = rng.integers(0, 500, 1000)
    index = HnswIndex(kind="hnsw").open(vectors, ASKED)
    exact = Coverage(vectors, clusters, 0.97, subsample=100)
    graph = Coverage(vectors, clusters, 0.97, subsample=100, search=index.search(generations, 0.97))
    for start in range(0, 400, 150):
        for side in (exact, graph):
            side.add(generations[start : start + 150], start)
    one, other = exact.result(), graph.result()
    assert one.clusters_hit > 100
    for name in ("incidence", "first_hit", "record_hit", "draw_hits"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_without_hnswlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    rng = np.random.default_rng(5)
    with pytest.raises(MissingExtraError, match=r"auditkit\[hnsw\]"):
        HnswIndex(kind="hnsw").best(unit(rng, 2), unit(rng, 2))


def test_a_choice_for_speed_falls_back_where_pairs_are_missed_or_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    vectors, queries = clustered(rng, 2000, around=200), clustered(rng, 300, around=30)
    queries[:50] = vectors[:50]
    monkeypatch.setattr(hnsw_search, "MOST", 40)
    search = HnswIndex(kind="hnsw").open(vectors, CHOSEN).search(queries, 0.9)
    assert search.use.kind == "exact"
    assert hits_of(search, queries) == hits_of(ExactSearch(vectors, 0.9), queries)


def test_the_recall_is_measured_on_queries_that_did_not_tune() -> None:
    """Near the threshold or not: thousands of them, and the reason says what so many can show."""
    rng = np.random.default_rng(9)
    vectors = unit(rng, 1500, 24)
    queries = vectors[rng.integers(0, 1500, 6000)] + 0.1 * unit(rng, 6000, 24)
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    for threshold in (None, 0.9):
        samples = hnsw_tuning.drawn_samples(queries, vectors, threshold, 0, tuned=True)
        assert not samples.whole
        tuning, fresh = ({row.tobytes() for row in side.queries} for side in (samples.tuning, samples.fresh))
        assert (len(tuning), len(fresh)) == (500, 3000)
        assert not tuning & fresh
        use = HnswIndex(kind="hnsw").open(vectors, ASKED).search(queries, threshold).use
        assert use.queries == 3000
        low, _ = clopper_pearson(round(3000 * use.recall_at_1), 3000)
        assert f"show a recall@1 of {low:.2%} or more" in use.reason


def test_a_few_queries_near_the_threshold_are_shared_out() -> None:
    rng = np.random.default_rng(10)
    vectors, queries = unit(rng, 500, 24), unit(rng, 9000, 24)
    queries[:600] = vectors[rng.integers(0, 500, 600)]
    samples = hnsw_tuning.drawn_samples(queries, vectors, 0.97, 0, tuned=True)
    assert (len(samples.tuning.queries), len(samples.fresh.queries)) == (500, 500)
    near = (samples.tuning.score > 0.9).sum(), (samples.fresh.score > 0.9).sum()
    assert min(near) > 200
