"""Generations on disk: all of them in order, or the ones that are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.auditing import generations
from auditkit.records import Generation, Prefix


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten generations in one file, merged from two parts."""
    made = [
        Generation("t", "p", place, 1, (f"question {place}", "answer"), (place, 7), "stop", "model")
        for place in range(10)
    ]
    parts = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    generations.write_part(parts[0], made[:6])
    generations.write_part(parts[1], made[6:])
    generations.merge(parts, tmp_path / "all.parquet", "t", [Prefix("p", "", ())])
    return tmp_path / "all.parquet"


def ordinals(batches: list[list[Generation]]) -> list[int]:
    return [generation.ordinal for batch in batches for generation in batch]


def test_all_come_back_in_order_and_in_batches(path: Path) -> None:
    batches = list(generations.read(path, batch=4))
    assert ordinals(batches) == list(range(10)) and max(map(len, batches)) <= 4
    assert batches[0][3] == Generation("t", "p", 3, 1, ("question 3", "answer"), (3, 7), "stop", "model")


@pytest.mark.parametrize("wanted", [set(), {3}, {9, 0, 5}, {4, 400}])
def test_only_those_that_are_asked_for(path: Path, wanted: set[int]) -> None:
    found = list(generations.read(path, batch=4, only=wanted))
    assert ordinals(found) == sorted(wanted & set(range(10)))
    everything = {generation.ordinal: generation for batch in generations.read(path) for generation in batch}
    assert all(generation == everything[generation.ordinal] for batch in found for generation in batch)
