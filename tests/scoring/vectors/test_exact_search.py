"""One pass over all pairs: both directions and the hits, against brute force in float64."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import AuditkitError
from auditkit.scoring.base import Index, Search, Vectors
from auditkit.scoring.vectors import exact_search, products
from auditkit.scoring.vectors.exact_search import ExactSearch, added, exact_best, hits_above
from auditkit.scoring.vectors.products import as_scores, exact_scores
from tests.scoring.vectors.test_index import unit

# Few numbers in few values: zero rows, exact duplicates and exact ties are common.
cells = st.integers(-2, 2).map(float)


@st.composite
def tables(draw: st.DrawFn, width: int = 3) -> Vectors:
    count = draw(st.integers(0, 25))
    values = draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=count, max_size=count))
    rows = np.array(values, np.float32).reshape(count, width)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    made: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return made


def brute_force(queries: Vectors, vectors: Vectors) -> np.ndarray:
    exact = np.zeros((len(queries), len(vectors)))
    for column in range(queries.shape[1]):
        exact += np.outer(queries[:, column].astype(np.float64), vectors[:, column].astype(np.float64))
    return np.clip(exact, -1, 1)


def all_hits(search: Search, queries: Vectors, cuts: list[int]) -> tuple[Index, np.ndarray, set[tuple[int, int]]]:
    """Queries added in blocks that end at ``cuts``: best index, best score, and the hits by position in the whole."""
    index, score = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    found: set[tuple[int, int]] = set()
    ends = sorted({min(cut, len(queries)) for cut in cuts} | {0, len(queries)})
    for start, stop in pairwise(ends):

        def take(rows: Index, columns: Index, start: int = start) -> None:
            found.update(zip((rows + start).tolist(), columns.tolist(), strict=True))

        best = search.add(queries[start:stop], take)
        index.append(best[0])
        score.append(best[1])
    return np.concatenate(index), np.concatenate(score), found


@settings(max_examples=150, deadline=None)
@given(tables(), tables(), st.lists(st.integers(0, 25), max_size=3), st.integers(1, 9), st.integers(1, 9), st.data())
def test_one_pass_is_brute_force_whatever_the_blocks(
    queries: Vectors, vectors: Vectors, cuts: list[int], rows: int, columns: int, data: st.DataObject
) -> None:
    exact = brute_force(queries, vectors)
    scores = exact.astype(np.float32)
    # A threshold that pairs meet exactly, most of the time.
    threshold = data.draw(st.sampled_from(sorted({0.5, *map(float, scores[scores > 0].ravel())})))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "ROWS", rows)
        patch.setattr(products, "COLUMNS", columns)
        search = ExactSearch(vectors, threshold)
        index, score, hits = all_hits(search, queries, cuts)
    if len(queries) and len(vectors):
        np.testing.assert_array_equal(index, exact.argmax(axis=1))
        np.testing.assert_array_equal(score, scores.max(axis=1))
        np.testing.assert_array_equal(search.nearest[0], exact.argmax(axis=0))
        np.testing.assert_array_equal(search.nearest[1], scores.max(axis=0))
    else:
        assert (index == -1).all()
        assert (search.nearest[0] == -1).all()
        assert np.isneginf(search.nearest[1]).all()
    assert hits == set(zip(*(side.tolist() for side in np.nonzero(scores >= np.float32(threshold))), strict=True))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 120), st.integers(2, 120), st.sampled_from([8, 61, 256]))
def test_one_pass_is_the_separate_searches(seed: int, n: int, m: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    queries, vectors = unit(rng, n, width), unit(rng, m, width)
    search = ExactSearch(vectors, 0.1)
    index, score, hits = all_hits(search, queries, [n // 3])
    np.testing.assert_array_equal((index, score), exact_best(queries, vectors))
    np.testing.assert_array_equal(search.nearest, exact_best(vectors, queries))
    np.testing.assert_array_equal(score, as_scores(exact_scores(queries, vectors, np.arange(n), index)))
    separate = [(q, v) for block in hits_above(queries, vectors, 0.1) for q, v in zip(*block[:2], strict=True)]
    assert hits == {(int(q), int(v)) for q, v in separate}
    assert len(separate) == len(hits)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are taken in whatever order threads come to them."""
    rng = np.random.default_rng(1)
    distinct = unit(rng, 40, 16)
    queries, vectors = distinct[rng.integers(0, 40, 900)], distinct[rng.integers(0, 40, 1100)]
    alone = all_hits(one := ExactSearch(vectors, 0.5), queries, [400])
    monkeypatch.setattr(products, "ROWS", 64)
    monkeypatch.setattr(products, "COLUMNS", 32)
    monkeypatch.setattr(exact_search, "FEW", 0)
    together = all_hits(many := ExactSearch(vectors, 0.5), queries, [400])
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[1], together[1])
    assert alone[2] == together[2]
    np.testing.assert_array_equal(one.nearest, many.nearest)


def test_what_is_mapped_from_disk_is_let_go_of(tmp_path: Path) -> None:
    """Reading 64 MiB of mapped vectors leaves a few MiB of them in the process."""
    rng = np.random.default_rng(2)
    np.save(tmp_path / "v.npy", unit(rng, 1 << 16, 256))
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    queries = np.array(mapped[[5, 7_000, 65_000]])
    index, score = added(ExactSearch(mapped, 0.5), queries)
    assert index.tolist() == [5, 7000, 65_000]
    np.testing.assert_allclose(score, 1, atol=1e-6)
    smaps = Path("/proc/self/smaps").read_text().split("v.npy")[1:]
    resident = sum(int(part.split("Rss:")[1].split()[0]) for part in smaps)
    assert resident < 16 * 1024  # KiB


def test_a_block_that_is_no_number_is_refused() -> None:
    rng = np.random.default_rng(3)
    search = ExactSearch(unit(rng, 5))
    broken = unit(rng, 2)
    broken[1, 3] = np.inf
    with pytest.raises(AuditkitError, match="finite"):
        search.add(broken)
    with pytest.raises(AuditkitError, match="cannot be compared"):
        search.add(unit(rng, 2, 8))


def test_a_search_for_queries_alone_keeps_no_nearest() -> None:
    search = ExactSearch(unit(np.random.default_rng(4), 3), nearest_queries=False)
    with pytest.raises(ValueError):
        _ = search.nearest
