"""Held-out tasks: none is a seen question, or a seen problem in other words."""

from __future__ import annotations

from random import Random

import pytest

from auditkit.errors import AuditkitError
from auditkit.lab.generators.sums import operands
from auditkit.lab.generators.table import generator
from auditkit.lab.worth_tasks import held_out


def _questions(name: str, count: int) -> list[str]:
    source, rng = generator(name), Random(5)  # type: ignore[arg-type]
    return [source.record(source.draw(rng))["prompt"] for _ in range(count)]


def test_the_same_seed_gives_the_same_tasks_and_another_seed_others() -> None:
    assert held_out("sums", [], 20, 3) == held_out("sums", [], 20, 3) != held_out("sums", [], 20, 4)


def test_a_problem_that_was_seen_is_no_task_in_other_words_either() -> None:
    """Whatever a seed would have asked is asked no more once its numbers were seen, the other way round as well."""
    first = [operands(task["question"]) for task in held_out("sums", [], 50, 0)]
    seen = [f"{problem[1]} + {problem[0]} = ?" for problem in first if problem]
    tasks = held_out("sums", seen, 50, 0)
    assert not {operands(task["question"]) for task in tasks} & set(first)
    assert all(int(task["answer"]) == sum(operands(task["question"]) or ()) for task in tasks)


def test_tasks_are_problems_of_their_own() -> None:
    tasks = held_out("sums", [], 300, 1)
    assert len({operands(task["question"]) for task in tasks}) == 300


def test_problems_of_few_numbers_are_told_apart_by_their_words() -> None:
    seen = _questions("maths", 200)
    tasks = held_out("maths", seen, 100, 0)
    assert not {task["question"] for task in tasks} & set(seen)


def test_a_generator_without_new_problems_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"prompt": "1 + 2 = ?", "answer": "3"}
    monkeypatch.setattr("auditkit.lab.generators.sums.Sums.write", lambda *_: fields)
    with pytest.raises(AuditkitError, match="sums has only 1 problems"):
        held_out("sums", [], 2, 0)
