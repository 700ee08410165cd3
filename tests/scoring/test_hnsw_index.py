"""Approximate search: exact scores, ties as everywhere, and its misses measured."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from auditkit.errors import MissingExtraError
from auditkit.scoring.hnsw_index import HnswIndex
from auditkit.scoring.index import best_vector_matches
from tests.scoring.test_index import unit


def test_finds_what_exact_search_finds_and_says_how_often() -> None:
    rng = np.random.default_rng(1)
    vectors = unit(rng, 3000, 16)
    queries = unit(rng, 700, 16)
    index, score, use = HnswIndex(kind="hnsw").best(queries, vectors)
    exact_index, exact_score = best_vector_matches(queries, vectors, "exact")
    share = float(np.mean(index == exact_index))
    assert share > 0.97
    np.testing.assert_array_equal(score[index == exact_index], exact_score[index == exact_index])
    assert use.queries == 500
    assert abs(use.recall_at_1 - share) < 0.03


def test_measured_recall_tells_of_a_poor_graph() -> None:
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng, 6000, 64), unit(rng, 400, 64)
    poor = HnswIndex(kind="hnsw", m=4, ef_construction=16, ef=10)
    _, score, use = poor.best(queries, vectors)
    _, exact = best_vector_matches(queries, vectors, "exact")
    assert use.queries == 400
    assert use.recall_at_1 == pytest.approx(float(np.mean(score >= exact)))
    assert use.recall_at_1 < 0.9


def test_is_the_same_every_time() -> None:
    rng = np.random.default_rng(3)
    vectors, queries = unit(rng, 2000, 32), unit(rng, 300, 32)
    poor = HnswIndex(kind="hnsw", m=4, ef_construction=16, ef=10)
    first, second = poor.best(queries, vectors), poor.best(queries, vectors)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_ties_go_to_the_lowest_of_many_copies() -> None:
    rng = np.random.default_rng(4)
    vectors = np.repeat(unit(rng, 20, 8), 50, axis=0)
    index, score, _ = HnswIndex(kind="hnsw").best(vectors[::50], vectors)
    assert index.tolist() == list(range(0, 1000, 50))
    np.testing.assert_allclose(score, 1, atol=1e-6)


def test_without_hnswlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    rng = np.random.default_rng(5)
    with pytest.raises(MissingExtraError, match=r"auditkit\[hnsw\]"):
        HnswIndex(kind="hnsw").best(unit(rng, 2), unit(rng, 2))
