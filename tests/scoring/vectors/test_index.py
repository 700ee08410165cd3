"""Vector search against brute force in float64."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import AuditkitError
from auditkit.scoring.base import Vectors
from auditkit.scoring.vectors import products
from auditkit.scoring.vectors.exact_search import ExactSearch, hits_above
from auditkit.scoring.vectors.index import best_vector_matches
from auditkit.scoring.vectors.products import as_scores, exact_scores, first_of_equal_rows


def unit(rng: np.random.Generator, n: int, d: int = 24) -> Vectors:
    rows = rng.normal(size=(n, d))
    vectors: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return vectors


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "ROWS", 7)
    monkeypatch.setattr(products, "COLUMNS", 11)


def test_exact_is_brute_force(small_blocks: None) -> None:
    rng = np.random.default_rng(1)
    queries, vectors = unit(rng, 40), unit(rng, 60)
    truth = queries.astype(np.float64) @ vectors.astype(np.float64).T
    index, score = best_vector_matches(queries, vectors, "exact")
    assert index.dtype == np.int64
    assert score.dtype == np.float32
    np.testing.assert_array_equal(index, truth.argmax(axis=1))
    np.testing.assert_allclose(score, truth.max(axis=1), atol=1e-7)


def test_ties_go_to_the_lowest_record_across_blocks(small_blocks: None) -> None:
    rng = np.random.default_rng(2)
    distinct = unit(rng, 9)
    vectors = distinct[rng.integers(0, 9, 70)]
    first = {row.tobytes(): i for i, row in reversed(list(enumerate(vectors)))}
    index, _ = best_vector_matches(distinct, vectors, "exact")
    expected = [first.get(row.tobytes()) for row in distinct]
    assert [i for i, e in zip(index.tolist(), expected, strict=True) if e is not None] == [
        e for e in expected if e is not None
    ]


@pytest.mark.parametrize("copies", [1, 37])
def test_ties_do_not_depend_on_the_width_of_the_block(copies: int) -> None:
    """In a plain float32 product the same pair can differ by its column; a duplicate then wins over the original."""
    rng = np.random.default_rng(3)
    vectors = np.tile(unit(rng, 13, 257), (copies, 1))
    index, _ = best_vector_matches(unit(rng, 500, 257), vectors, "exact")
    assert index.max() < 13


def test_one_text_many_times_is_no_more_work() -> None:
    one = unit(np.random.default_rng(12), 1, 64)
    started = time.perf_counter()
    index, score = best_vector_matches(np.tile(one, (2000, 1)), np.tile(one, (20_000, 1)), "exact")
    assert time.perf_counter() - started < 20
    assert not index.any()
    assert np.allclose(score, 1)


def test_a_score_does_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(4)
    queries, vectors = unit(rng, 50, 256), unit(rng, 333, 256)
    _, together = best_vector_matches(queries, vectors, "exact")
    alone = np.array([best_vector_matches(queries[i : i + 1], vectors, "exact")[1][0] for i in range(50)])
    np.testing.assert_array_equal(together, alone)


def test_both_directions_and_hits_agree_on_every_pair(small_blocks: None) -> None:
    rng = np.random.default_rng(5)
    queries, vectors = unit(rng, 30, 3), unit(rng, 40, 3)
    pairs = np.repeat(np.arange(30), 40), np.tile(np.arange(40), 30)
    scores = as_scores(exact_scores(queries, vectors, *pairs)).reshape(30, 40)
    best_index, best_score = best_vector_matches(queries, vectors, "exact")
    search = ExactSearch(vectors)
    for block in (queries[:4], queries[4:4], queries[4:]):
        search.add(block)
    index, score = search.nearest
    np.testing.assert_array_equal(best_score, scores.max(axis=1))
    np.testing.assert_array_equal(best_index, scores.argmax(axis=1))
    np.testing.assert_array_equal(score, scores.max(axis=0))
    np.testing.assert_array_equal(index, scores.argmax(axis=0))
    # A threshold that some pair meets exactly is met by that pair, in every direction.
    threshold = float(np.sort(scores.ravel())[-100])
    hits = [(q, v) for block in hits_above(queries, vectors, threshold) for q, v in zip(*block[:2], strict=True)]
    assert sorted(hits) == sorted(zip(*np.nonzero(scores >= threshold), strict=True))
    assert len(hits) >= 100


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 5))
def test_exact_scores_bound_every_other_score(seed: int, n: int, m: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    queries, vectors = unit(rng, n, d), unit(rng, m, d)
    index, score = best_vector_matches(queries, vectors)
    truth = np.clip(queries.astype(np.float64) @ vectors.astype(np.float64).T, -1, 1)
    assert np.all(score >= truth.max(axis=1) - 1e-6)
    np.testing.assert_allclose(truth[np.arange(n), index], score, atol=1e-6)


def test_an_empty_side_matches_nothing() -> None:
    rng = np.random.default_rng(6)
    index, score = best_vector_matches(unit(rng, 3), np.zeros((0, 24), np.float32))
    assert index.tolist() == [-1, -1, -1]
    assert np.isneginf(score).all()
    index, score = best_vector_matches(np.zeros((0, 24), np.float32), unit(rng, 3))
    assert (len(index), len(score)) == (0, 0)
    assert ExactSearch(unit(rng, 2)).nearest[0].tolist() == [-1, -1]


def test_a_zero_query_scores_zero_at_the_first_record() -> None:
    index, score = best_vector_matches(np.zeros((2, 24), np.float32), unit(np.random.default_rng(7), 5))
    assert index.tolist() == [0, 0]
    assert score.tolist() == [0.0, 0.0]


def test_what_cannot_be_compared_is_refused() -> None:
    rng = np.random.default_rng(8)
    with pytest.raises(AuditkitError, match="cannot be compared"):
        best_vector_matches(unit(rng, 2, 8), unit(rng, 2, 9))
    broken = unit(rng, 4)
    broken[2, 1] = np.nan
    with pytest.raises(AuditkitError, match="finite"):
        best_vector_matches(unit(rng, 2), broken)
    with pytest.raises(AuditkitError, match="exakt"):
        best_vector_matches(unit(rng, 2), unit(rng, 2), "exakt")


def test_first_of_equal_rows() -> None:
    rows = unit(np.random.default_rng(10), 3)
    assert first_of_equal_rows(rows[[0, 1, 0, 2, 1]]).tolist() == [0, 1, 0, 3, 1]
