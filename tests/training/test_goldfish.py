from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.training.goldfish import Goldfish
from auditkit.training.rows import IGNORED, Row

PASSAGE = st.lists(st.integers(0, 5000), min_size=30, max_size=60)


@pytest.mark.parametrize("mask", ["hash", "static"])
@pytest.mark.parametrize("k", [2, 3, 4, 10])
def test_about_one_token_in_k_carries_no_loss(k: int, mask: Any) -> None:
    rng = Random(k)
    rows = [Row(tuple(rng.randrange(5000) for _ in range(100)), 1) for _ in range(200)]
    dropped = sum(len(Goldfish(k, mask=mask).masked(row).dropped) for row in rows)
    # 20,000 draws: four standard deviations are below 0.015.
    assert dropped / sum(len(row.ids) for row in rows) == pytest.approx(1 / k, abs=0.015)


@given(passage=PASSAGE, before=PASSAGE, behind=PASSAGE, context=st.integers(1, 20))
def test_the_same_passage_loses_the_same_tokens_in_any_document(
    passage: list[int], before: list[int], behind: list[int], context: int
) -> None:
    goldfish = Goldfish(4, context)
    alone = goldfish.masked(Row(tuple(passage), 0)).dropped
    inside = goldfish.masked(Row((*before, *passage, *behind), 1)).dropped
    settled = range(context, len(passage))  # before that, the hash reads what stands in front of the passage
    assert {at for at in settled if at in alone} == {at for at in settled if at + len(before) in inside}


def test_a_static_mask_follows_the_place_and_not_the_passage() -> None:
    goldfish = Goldfish(3, mask="static")
    assert goldfish.masked(Row(tuple(range(10)), 1)).dropped == {2, 5, 8}
    assert goldfish.masked(Row((7,) * 10, 1)).dropped == {2, 5, 8}


@given(passage=PASSAGE, silent=st.integers(0, 20))
def test_what_carries_no_loss_anyway_is_not_counted_and_the_first_that_does_keeps_it(
    passage: list[int], silent: int
) -> None:
    row = Goldfish(2).masked(Row(tuple(passage), silent))
    assert all(at > silent for at in row.dropped)
    assert row.labels[silent] == passage[silent]
    assert [at for at, label in enumerate(row.labels) if label == IGNORED] == [*range(silent), *sorted(row.dropped)]


def test_another_seed_leaves_out_others() -> None:
    row = Row(tuple(range(200)), 1)
    assert Goldfish(4, seed=1).masked(row).dropped != Goldfish(4, seed=2).masked(row).dropped
    assert replace(Goldfish(4).masked(row), dropped=frozenset()) == row, "the ids stay as they are"
