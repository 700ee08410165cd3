"""The vector benchmarks compare like with like: same answers from both sides, peaks of real processes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import scoring_memory
from benchmarks import vectors as benchmark
from benchmarks.scoring_memory import Stage
from benchmarks.vector_data import clustered


def test_made_vectors_are_unit_rows_and_half_of_the_queries_tell_a_record_anew() -> None:
    case = clustered(400, 32, seed=3)
    for rows in (case.vectors, case.queries):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    nearest = (case.queries @ case.vectors.T).max(axis=1)
    assert nearest[::2].min() > 0.7
    np.testing.assert_array_equal(case.queries, clustered(400, 32, seed=3).queries)


def test_exact_search_agrees_with_faiss() -> None:
    for entry in benchmark.exact(clustered(600, 32), repeats=1):
        assert entry.identical
        assert entry.more["same_scores_as_peer"] == 1.0
        assert entry.ours_s is not None


def test_graphs_are_compared_at_equal_recall() -> None:
    (entry,) = benchmark.approximate(clustered(1500, 32))
    assert entry.identical
    assert entry.more["recall"] >= 0.99
    assert entry.more["recall_of_peer"] >= 0.99
    assert entry.more["near_queries"] > 100


def test_break_even_is_where_a_graph_begins_to_pay() -> None:
    entry = benchmark.break_even(clustered(2000, 32))
    assert entry.more["records"] == 2000
    assert entry.more["break_even_queries"] is None or entry.more["break_even_queries"] >= 1000


@pytest.mark.parametrize("name", ["one pass", "graph"])
def test_a_stage_is_measured_in_a_process_of_its_own(name: str) -> None:
    found = Stage(name, 3000, 200, 64).measured()
    assert 30 < found["before_mib"] <= found["peak_mib"] < 2000
    entry = scoring_memory._entry(Stage(name, 3000, 200, 64), found)
    assert entry.more["derived_peak_mib"] >= entry.more["peak_mib"]
