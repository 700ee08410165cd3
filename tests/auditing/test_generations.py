"""Generations on disk: all of them in order, or the ones that are asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from auditkit.auditing import generations
from auditkit.auditing.generation_columns import counted, ordinals_and_complete
from auditkit.records import Finish, Generation, Prefix, TurnChange, View


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


def test_small_parts_are_put_together_and_found_again(tmp_path: Path) -> None:
    parts, told = [tmp_path / f"{place}.parquet" for place in range(90)], list[int]()
    for part, path in enumerate(parts):
        made = [Generation("t", "p", 100 * part + i, 1, ("q", "a"), (i,), "stop", "model") for i in range(100)]
        generations.write_part(path, made)
    target = tmp_path / "all.parquet"
    generations.merge(parts, target, "t", [Prefix("p", "", ())], told.append)
    assert sum(told) == 90 and not any(part.exists() for part in parts)
    assert pq.ParquetFile(target).num_row_groups == 3  # not 90: each is told of in what every reader holds
    wanted = {0, 4_099, 4_100, 8_999}
    assert ordinals(list(generations.read(target, only=wanted))) == sorted(wanted)
    assert ordinals(list(generations.read(target))) == list(range(9_000))


def test_texts_can_be_read_without_tokens(path: Path) -> None:
    for whole, texts in zip(generations.read(path), generations.read(path, tokens=False), strict=True):
        assert [replace(one, token_ids=()) for one in whole] == texts


ENDS: list[tuple[Finish, TurnChange]] = [
    (finish, change)
    for finish in ("stop", "length", "empty", "failed", "blocked")
    for change in ("model", "appended", "none")
]


@pytest.mark.parametrize("view", ["record", "prompt"])
def test_columns_say_what_generations_say(tmp_path: Path, view: View) -> None:
    made = [Generation("t", "p", i, 1, ("q",), (1,) * i, *end) for i, end in enumerate(ENDS)]
    generations.write_part(tmp_path / "1", made)
    generations.merge([tmp_path / "1"], tmp_path / "all", "t", [Prefix("p", "", ())])
    ((places, complete),) = ordinals_and_complete(tmp_path / "all", view)
    assert places.tolist() == [one.ordinal for one in made]
    assert complete.tolist() == [one.complete(view) for one in made]
    finished, changes, tokens = counted(tmp_path / "all")
    assert finished == Counter(one.finish for one in made) and tokens == sum(len(one.token_ids) for one in made)
    assert changes == Counter(one.turn_change for one in made)
