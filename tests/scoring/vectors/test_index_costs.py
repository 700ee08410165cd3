"""The choice between exact and approximate search: from costs, with the reason in words."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.scoring.base import IndexChoice, Vectors
from auditkit.scoring.vectors import index_costs
from auditkit.scoring.vectors.index import AutoIndex
from auditkit.scoring.vectors.index_costs import Costs, cheaper, chosen_index, graph_bytes, measured_costs
from tests.scoring.vectors.test_index import unit

QUICK_GRAPH = Costs(multiplication=1e-11, insert=1e-4, query=1e-4, rows=5000)
SLOW_GRAPH = Costs(multiplication=1e-11, insert=1.0, query=1.0, rows=5000)


def large(records: int, width: int) -> Vectors:
    """So many rows without the memory for them."""
    vectors: Vectors = np.broadcast_to(np.float32(0), (records, width))
    return vectors


def test_a_small_search_is_exact_without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(index_costs, "measured_costs")
    assert chosen_index(large(7_473, 256), 20_000) == IndexChoice("exact", "exact search takes under a minute")


def test_the_cheaper_one_is_chosen_and_the_reason_names_both_estimates() -> None:
    chosen = cheaper(QUICK_GRAPH, 1_000_000, 939_000, 384)
    assert chosen.kind == "hnsw"
    assert chosen.reason.startswith("exact search takes an estimated 60 min, an approximate one ")
    chosen = cheaper(SLOW_GRAPH, 1_000_000, 939_000, 384)
    assert chosen.kind == "exact"
    assert "too little is saved" in chosen.reason


@given(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(1, 4096))
def test_approximate_search_is_chosen_only_where_it_takes_half_the_time(queries: int, records: int, width: int) -> None:
    exact = QUICK_GRAPH.exact(queries, records, width)
    approximate = QUICK_GRAPH.approximate(queries, records, width)
    assert (cheaper(QUICK_GRAPH, queries, records, width).kind == "hnsw") == (exact >= 2 * approximate)


def test_what_is_measured_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for costs, kind in ((QUICK_GRAPH, "hnsw"), (SLOW_GRAPH, "exact")):
        monkeypatch.setattr(index_costs, "measured_costs", lambda _, costs=costs: costs)
        assert chosen_index(large(939_000, 384), 1_000_000).kind == kind


def test_without_hnswlib_search_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_costs, "find_spec", lambda _: None)
    chosen = chosen_index(large(939_000, 384), 1_000_000)
    assert chosen.kind == "exact"
    assert "hnswlib" in chosen.reason


def test_a_graph_that_memory_cannot_hold_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_costs, "memory_limit", lambda: graph_bytes(939_000, 3072))
    chosen = chosen_index(large(939_000, 3072), 1_000_000)
    assert chosen.kind == "exact"
    assert "11 GiB of memory" in chosen.reason


def test_trials_measure_something() -> None:
    costs = measured_costs(unit(np.random.default_rng(1), 3000, 64))
    assert 0 < costs.multiplication < 1e-6
    assert 0 < costs.insert < 0.1
    assert 0 < costs.query < 0.1
    assert 0 < costs.rows <= 3000


def test_the_choice_that_was_made_is_the_one_that_is_opened() -> None:
    """A resumed run passes on what the first process chose, whatever this one would."""
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng, 200, 8), unit(rng, 50, 8)
    auto = AutoIndex(kind="auto")
    search = auto.open(vectors, IndexChoice("hnsw", "chosen before")).search(queries)
    assert search.use.kind == "hnsw"
    assert search.use.reason.startswith("chosen before; m ")
    search = auto.open(vectors, IndexChoice("exact", "chosen before")).search(queries)
    assert (search.use.kind, search.use.reason) == ("exact", "chosen before")
    assert "hnswlib" in sys.modules
    assert auto.choose(vectors, 50).kind == "exact"
