"""Shards searched in any order and put together say what one search over all says, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from auditkit.auditing.progress import Silent
from auditkit.auditing.search_elsewhere import searched_elsewhere
from auditkit.scoring.base import Search, Vectors
from auditkit.scoring.coverage import Coverage, CoverageResult
from auditkit.scoring.vectors.exact_search import ExactSearch

from ..engines.inline import Inline


def _vectors(count: int, seed: int) -> Vectors:
    """Unit rows of few directions, so that there are ties and exact duplicates; some rows are zero."""
    random = np.random.default_rng(seed)
    rows = random.integers(-2, 3, size=(count, 4)).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    found: Vectors = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return found


def _covered(search: Search, queries: Vectors, records: Vectors, block: int) -> tuple[CoverageResult, list[bytes]]:
    coverage = Coverage(records, np.arange(len(records)) // 3, 0.9, subsample=7, seed=1, search=search)
    nearest = [
        array.tobytes()
        for start in range(0, len(queries), block)
        for array in coverage.add(queries[start : start + block], start)
    ]
    return coverage.result(), nearest


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("texts", "rows", "block"), [(7, 10, 16), (16, 100, 7), (50, 13, 50), (1, 40, 9)])
def test_coverage_and_nearest_are_those_of_one_search(
    tmp_path: Path, texts: int, rows: int, block: int, seed: int
) -> None:
    queries, records = _vectors(61, seed), _vectors(40, seed + 100)
    far = searched_elsewhere(Inline(texts, rows, seed), records, queries, 0.9, tmp_path / "search", "")
    assert far is not None
    (mine, near), (theirs, also_near) = (
        _covered(search, queries, records, block) for search in (far, ExactSearch(records, 0.9))
    )
    assert near == also_near
    for name, value in vars(theirs).items():
        assert np.array_equal(np.asarray(getattr(mine, name)), np.asarray(value)), name
    assert far.use == ExactSearch(records, 0.9).use


def test_what_was_searched_is_not_searched_again(tmp_path: Path) -> None:
    queries, records = _vectors(60, 1), _vectors(40, 2)
    with pytest.raises(KeyboardInterrupt):
        searched_elsewhere(Inline(10, 20, fail_after=5), records, queries, 0.9, tmp_path / "search", "")
    again = Inline(10, 20)
    far = searched_elsewhere(again, records, queries, 0.9, tmp_path / "search", "")
    assert again.asked == [12 - 5]
    assert far is not None
    assert _covered(far, queries, records, 60)[1] == _covered(ExactSearch(records, 0.9), queries, records, 60)[1]


def test_a_single_unit_is_not_worth_a_worker(tmp_path: Path) -> None:
    workers = Inline(100, 100)
    assert searched_elsewhere(workers, _vectors(40, 1), _vectors(60, 2), 0.9, tmp_path / "search", "") is None
    assert workers.asked == []


def test_it_is_told_how_far_it_is(tmp_path: Path) -> None:
    """By whoever goes on, only of what is left."""
    told: list[tuple[int, int, int]] = []

    class Listener(Silent):
        @contextmanager
        def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Any]:
            advanced: list[int] = []
            try:
                yield SimpleNamespace(advance=lambda more, tokens=0: advanced.append(more))
            finally:
                told.append((total, done, sum(advanced)))

    queries, records = _vectors(60, 1), _vectors(40, 2)
    with pytest.raises(KeyboardInterrupt):
        searched_elsewhere(Inline(10, 20, fail_after=5), records, queries, 0.9, tmp_path / "search", "", Listener())
    searched_elsewhere(Inline(10, 20), records, queries, 0.9, tmp_path / "search", "", Listener())
    assert told == [(12, 0, 5), (12, 5, 7)]
