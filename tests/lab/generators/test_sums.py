"""Sums worked out in columns: what the working says is arithmetic, and a problem is known by its numbers."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.lab.generators.maths import final_number
from auditkit.lab.generators.sums import DIGITS, operands, working
from auditkit.lab.generators.table import generator

seeds = st.integers(0, 2**32)
numbers = st.integers(10 ** (DIGITS - 1), 10**DIGITS - 1)


@given(seeds)
def test_the_answer_is_the_sum_of_the_question_s_numbers(seed: int) -> None:
    fields = generator("sums").record(generator("sums").draw(Random(seed)))
    asked = operands(fields["prompt"])
    assert asked is not None
    assert final_number(fields["response"]) == fields["answer"] == str(sum(asked))
    assert len(fields["answer"]) == DIGITS, "the last column carries nothing"


@given(numbers, numbers)
def test_every_column_adds_what_the_one_before_carries(x: int, y: int) -> None:
    columns = [[int(n) for n in re.findall(r"\d+", column)] for column in working(x, y).split(", ")]
    assert len(columns) == DIGITS
    assert [one + other + carried for one, other, carried, _ in columns] == [total for *_, total in columns]
    assert [carried for _, _, carried, _ in columns] == [0, *(total // 10 for *_, total in columns[:-1])]
    assert sum(total % 10 * 10**at for at, (*_, total) in enumerate(columns)) == (x + y) % 10**DIGITS


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ("What is 347 + 238?", (238, 347)),
        ("Calculate 238 + 347.", (238, 347)),
        ("Iris counts 347 eggs on Monday", None),
        ("", None),
    ],
)
def test_a_problem_is_its_two_numbers_in_whatever_words(prompt: str, problem: tuple[int, int] | None) -> None:
    assert operands(prompt) == problem
