"""Rough products lose nothing: each is within its bound of the exact score, and searches come out the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.scoring.base import Vectors
from auditkit.scoring.vectors import exact_search, nomination, products
from auditkit.scoring.vectors.exact_search import ExactSearch
from auditkit.scoring.vectors.nomination import Bfloat16Copy, Float16Copy, Float32, Nominator, chosen_nominator
from tests.scoring.vectors.test_exact_search import all_hits
from tests.scoring.vectors.test_index import unit

Kind = Callable[[Vectors, float], Nominator]
KINDS: list[Kind] = [Float32, Float16Copy, Bfloat16Copy]


def longest(vectors: Vectors) -> float:
    return float(np.linalg.norm(vectors.astype(np.float64), axis=1).max(initial=0.0))


@st.composite
def spiky(draw: st.DrawFn) -> Vectors:
    """Unit rows, some with most of their length in one number, some with numbers too small for half precision."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = rng.normal(size=(draw(st.integers(1, 30)), draw(st.sampled_from([1, 3, 64, 300]))))
    rows *= 10.0 ** -rng.uniform(0, draw(st.sampled_from([0, 3, 9])), rows.shape)
    made: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return made


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(queries=spiky(), seed=st.integers(0, 2**32 - 1))
def test_every_product_is_within_its_bound(kind: Kind, queries: Vectors, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.concatenate([queries, -queries, unit(rng, 20, queries.shape[1])])
    nominator = kind(vectors, longest(vectors))
    left, right = nominator.queries(queries, longest(queries)), nominator.vectors(slice(0, len(vectors)))
    found = np.empty((len(queries), len(vectors)), np.float32)
    nominator.product(left, right, found)
    exact = queries.astype(np.float64) @ vectors.astype(np.float64).T
    off, bound = float(np.abs(found - exact).max()), nominator.bound(left, right)
    assert off <= bound
    assert bound <= 0.02  # and it is worth something


@pytest.mark.parametrize("kind", KINDS[1:])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), copies=st.integers(1, 4), threshold=st.floats(0.05, 0.999))
def test_a_rough_search_is_the_exact_one(kind: Kind, seed: int, copies: int, threshold: float) -> None:
    """Scores are crowded: many are nearer to each other and to the threshold than the products can tell."""
    rng = np.random.default_rng(seed)
    crowd = unit(rng, 12, 24)[rng.integers(0, 12, 150)] + 0.01 * unit(rng, 150, 24)
    vectors: Vectors = np.repeat((crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32), copies, 0)
    queries = np.concatenate([vectors[:40] + 0, unit(rng, 20, 24), np.zeros((2, 24), np.float32)])
    exact = ExactSearch(vectors, threshold, nominator=Float32)
    rough = ExactSearch(vectors, threshold, nominator=kind)
    one, other = all_hits(exact, queries, [17]), all_hits(rough, queries, [17])
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert one[2] == other[2]
    np.testing.assert_array_equal(exact.nearest, rough.nearest)


def test_threads_of_torch_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    vectors, queries = unit(rng, 600, 16), unit(rng, 300, 16)
    before = torch.get_num_threads()
    monkeypatch.setattr(products, "COLUMNS", 100)
    monkeypatch.setattr(exact_search, "FEW", 0)
    monkeypatch.setattr("auditkit.scoring.threads.blas_threads", lambda: 2)
    index, _ = ExactSearch(vectors, nominator=Bfloat16Copy).add(queries)
    assert torch.get_num_threads() == before
    np.testing.assert_array_equal(index, ExactSearch(vectors, nominator=Float32).add(queries)[0])


def test_the_way_follows_the_machine_and_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(np.random.default_rng(2), 500, 16)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    monkeypatch.setattr(nomination, "has_amx", lambda: False)
    assert isinstance(chosen_nominator(vectors, 1.0), Float32)  # too small to matter
    monkeypatch.setattr(nomination, "WORTH_ROUNDING", 0)
    assert isinstance(chosen_nominator(mapped, 1.0), Float32)  # the disk's cache holds it
    monkeypatch.setattr(nomination, "memory_limit", lambda: 60_000)
    assert isinstance(chosen_nominator(mapped, 1.0), Float16Copy)
    assert isinstance(chosen_nominator(vectors, 1.0), Float32)  # in memory as it is
    assert isinstance(chosen_nominator(mapped, 300.0), Float32)  # no unit rows
    monkeypatch.setattr(nomination, "memory_limit", lambda: 10_000)
    assert isinstance(chosen_nominator(mapped, 1.0), Float32)  # not even half of it fits
    monkeypatch.setattr(nomination, "memory_limit", lambda: 1 << 30)
    monkeypatch.setattr(nomination, "has_amx", lambda: True)
    assert isinstance(chosen_nominator(vectors, 1.0), Bfloat16Copy)
