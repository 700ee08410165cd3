"""What every registered index keeps to."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from auditkit.registry import kinds, plugin_class
from auditkit.scoring.base import VectorIndexConfig
from tests.scoring.vectors.test_index import unit


@pytest.fixture(params=sorted(kinds("indexes")))
def index(request: pytest.FixtureRequest) -> VectorIndexConfig:
    made = plugin_class("indexes", request.param).model_validate({"kind": request.param})
    assert isinstance(made, VectorIndexConfig)
    return made


def test_the_section_is_frozen_and_refuses_unknown_keys(index: VectorIndexConfig) -> None:
    assert index.model_config.get("frozen")
    with pytest.raises(ValidationError):
        type(index).model_validate(index.model_dump() | {"no_such_key": 1})
    assert type(index).model_validate(index.model_dump()) == index


def test_finds_the_nearest_and_reports_what_it_missed(index: VectorIndexConfig) -> None:
    rng = np.random.default_rng(1)
    queries, vectors = unit(rng, 300, 16), unit(rng, 1000, 16)
    truth = queries.astype(np.float64) @ vectors.astype(np.float64).T
    found, score, use = index.best(queries, vectors)
    assert found.dtype == np.int64
    assert score.dtype == np.float32
    missed = float(np.mean(found != truth.argmax(axis=1)))
    assert missed < 0.05
    assert use.recall_at_1 == pytest.approx(1 - missed, abs=0.05)
    np.testing.assert_allclose(score, truth[np.arange(300), found], atol=1e-6)
    assert np.all(np.abs(score) <= 1)


def test_ties_go_to_the_lowest_index(index: VectorIndexConfig) -> None:
    distinct = unit(np.random.default_rng(2), 10, 16)
    found, _, _ = index.best(distinct, np.tile(distinct, (30, 1)))
    assert found.tolist() == list(range(10))


def test_reads_what_is_mapped_from_disk(index: VectorIndexConfig, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("vectors")
    queries, vectors = unit(rng, 50, 8), unit(rng, 80, 8)
    np.save(folder / "q.npy", queries)
    np.save(folder / "v.npy", vectors)
    mapped = index.best(np.load(folder / "q.npy", mmap_mode="r"), np.load(folder / "v.npy", mmap_mode="r"))
    plain = index.best(queries, vectors)
    np.testing.assert_array_equal(mapped[0], plain[0])
    np.testing.assert_array_equal(mapped[1], plain[1])


def test_nothing_to_search(index: VectorIndexConfig) -> None:
    some, none = unit(np.random.default_rng(4), 3), np.zeros((0, 24), np.float32)
    found, score, _ = index.best(some, none)
    assert found.tolist() == [-1, -1, -1]
    assert np.isneginf(score).all()
    found, score, _ = index.best(none, some)
    assert (len(found), len(score)) == (0, 0)


def test_the_result_is_the_same_every_time(index: VectorIndexConfig) -> None:
    rng = np.random.default_rng(5)
    queries, vectors = unit(rng, 100, 32), unit(rng, 500, 32)
    first, second = index.best(queries, vectors), index.best(queries, vectors)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[2] == second[2]
