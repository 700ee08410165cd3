"""Held-out tasks for a family's skill: problems of the same kind that nothing of the family has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from auditkit.errors import AuditkitError
from auditkit.lab.generators.base import Fields
from auditkit.lab.generators.sums import operands
from auditkit.lab.generators.table import GeneratorName, generator
from auditkit.training.seeds import seeded

TRIES = 100  # for each task
Problem = Callable[[str], object]  # a question -> what makes it this problem, whatever is said around it


def held_out(name: GeneratorName, seen: Iterable[str], count: int, seed: int) -> list[Fields]:
    """So many problems of this generator, as ``{"question": .., "answer": ..}``.

    None is asked in the words of a question in ``seen``, and none is the same problem in other words: of ``sums`` no
    two numbers are added that a seen question adds, in either order. The problems of ``maths`` are so few that each is
    told apart by its words alone.

    Raises:
        AuditkitError: the generator has no more new problems.
    """
    source, rng, key = generator(name), seeded(seed, "held-out tasks"), problem_of(name)
    asked = list(seen)
    texts, problems = {_normal(question) for question in asked}, {key(question) for question in asked}
    tasks: list[Fields] = []
    for _ in range(TRIES * count):
        fields = source.record(source.draw(rng))
        question = fields["prompt"]
        if _normal(question) not in texts and key(question) not in problems:
            texts.add(_normal(question))
            problems.add(key(question))
            tasks.append({"question": question, "answer": fields["answer"]})
        if len(tasks) == count:
            return tasks
    raise AuditkitError(f"{name} has only {len(tasks)} problems that no record asks", "ask for fewer in worth.tasks")


def problem_of(name: GeneratorName) -> Problem:
    """What makes a question of this generator the problem that it is."""
    return operands if name == "sums" else _normal


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
