"""The search on a device finds to the bit what the search on the CPU finds; here the device is torch's own CPU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import AuditkitError
from auditkit.scoring.base import IndexChoice, Search, Vectors
from auditkit.scoring.vectors import device_search, index
from auditkit.scoring.vectors.device_search import DeviceSearch, DeviceVectors, exact_search
from auditkit.scoring.vectors.exact_search import ExactSearch
from auditkit.scoring.vectors.index import ExactIndex
from auditkit.scoring.vectors.products import exact_scores
from tests.scoring.vectors.test_exact_search import all_hits, tables

torch = pytest.importorskip("torch")


def unit(rows: np.ndarray) -> Vectors:
    made: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return made


def assert_same(ours: Search, cpu: Search, queries: Vectors, cuts: list[int]) -> None:
    found, expected = (all_hits(search, queries, cuts) for search in (ours, cpu))
    for one, other in zip([*found[:2], *ours.nearest], [*expected[:2], *cpu.nearest], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[2] == expected[2]
    assert ours.use == cpu.use


@settings(max_examples=150, deadline=None)
@given(
    tables(),
    tables(),
    st.lists(st.integers(0, 25), max_size=3),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30)),
    st.sampled_from([-0.5, 0.0, 0.5, 1.0]),
    st.booleans(),
)
def test_ties_duplicates_and_rows_of_zeros_come_out_as_on_the_cpu(
    queries: Vectors, vectors: Vectors, cuts: list[int], sizes: tuple[int, int, int], threshold: float, resident: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in zip(("ROWS", "COLUMNS", "MOST_PAIRS"), sizes, strict=True):
            patch.setattr(device_search, name, size)
        patch.setattr(device_search, "_room", lambda _: float("inf") if resident else 0.0)
        there = DeviceVectors(vectors, "cpu")
        assert_same(DeviceSearch(there, threshold), ExactSearch(vectors, threshold), queries, cuts)


@pytest.mark.parametrize("threshold", [0.2, 0.999])
def test_nearly_equal_rows_are_told_apart_by_their_exact_scores(threshold: float) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 96))
    # Copies that differ in the seventh digit: which is nearest is below what a float32 product can tell.
    vectors = unit(np.repeat(centres, 15, 0) + 1e-7 * rng.normal(size=(300, 96)))
    queries = unit(np.repeat(centres, 7, 0) + 1e-7 * rng.normal(size=(140, 96)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_search, "ROWS", 50)
        patch.setattr(device_search, "COLUMNS", 64)
        patch.setattr(device_search, "MOST_PAIRS", 100)
        there = DeviceVectors(vectors, "cpu")
        assert_same(DeviceSearch(there, threshold), ExactSearch(vectors, threshold), queries, [33, 90])


def test_rows_that_are_not_of_unit_norm_widen_the_bound() -> None:
    rng = np.random.default_rng(1)
    vectors, queries = ((100 * rng.normal(size=(n, 48))).astype(np.float32) for n in (200, 90))
    found = DeviceSearch(DeviceVectors(vectors, "cpu")).add(queries)
    expected = ExactSearch(vectors).add(queries)
    np.testing.assert_array_equal(found[0], expected[0])


def test_few_pairs_come_back_of_many() -> None:
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng.normal(size=(3000, 64))), unit(rng.normal(size=(500, 64)))
    asked: list[int] = []

    def counting(*given: np.ndarray) -> np.ndarray:
        asked.append(len(given[2]))
        return exact_scores(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_search, "exact_scores", counting)
        DeviceSearch(DeviceVectors(vectors, "cpu"), 0.9).add(queries)
    assert len(queries) <= sum(asked) < 2 * (len(queries) + len(vectors))


def test_precision_that_others_set_is_put_aside_and_back() -> None:
    rng = np.random.default_rng(3)
    vectors = unit(rng.normal(size=(40, 16)))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        search = DeviceSearch(DeviceVectors(vectors, "cpu"), nearest_queries=False)
        np.testing.assert_array_equal(search.add(vectors)[0], np.arange(40))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    with pytest.raises(ValueError, match="keeps no nearest"):
        _ = search.nearest


def test_tables_of_different_widths_are_refused() -> None:
    search = DeviceSearch(DeviceVectors(unit(np.ones((2, 3))), "cpu"))
    with pytest.raises(AuditkitError, match="cannot be compared"):
        search.add(unit(np.ones((2, 4))))


def test_a_device_is_chosen_where_there_is_one_and_enough_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(np.random.default_rng(4).normal(size=(50, 8)))
    monkeypatch.setattr(device_search, "accelerator", lambda: "cpu")
    monkeypatch.setattr(device_search, "WORTH_A_DEVICE", 50 * 8 * 20)
    assert isinstance(exact_search(vectors, 20), DeviceSearch)
    assert isinstance(exact_search(vectors, 19), ExactSearch)
    monkeypatch.setattr(device_search, "accelerator", lambda: None)
    assert isinstance(exact_search(vectors, 20), ExactSearch)


def test_an_open_index_sends_its_vectors_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(np.random.default_rng(5).normal(size=(50, 8)))
    monkeypatch.setattr(index, "WORTH_A_DEVICE", 0)
    monkeypatch.setattr(index, "accelerator", lambda: "cpu")
    opened = ExactIndex(kind="exact").open(vectors, IndexChoice("exact", "few records"))
    first, second = opened.search(vectors, 0.5), opened.search(vectors, None)
    assert isinstance(first, DeviceSearch)
    assert isinstance(second, DeviceSearch)
    assert first.vectors is second.vectors
    assert first.use.reason == "few records"
    np.testing.assert_array_equal(first.add(vectors)[0], np.arange(50))
