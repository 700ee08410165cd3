"""Sums worked out column by column: a skill that a small model learns from some hundreds of examples.

Every column is the same step (digit + digit + what is carried) at the same distance from the digits that it adds up, so
that the step is learnt and not the records, which is what a held-out sum asks for. The words in front of a sum tell
records apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from auditkit.lab.generators import vocabulary as words
from auditkit.lab.generators.base import Dice, Fields, Generator, filled, one
from auditkit.lab.generators.maths import MARK

DIGITS = 3
QUESTIONS = [
    "{name} of {town} counts {things} on {day}",
    "{Colour} {things} in the {place} of {name}",
    "The {trade} {name} adds up {things}",
    "{things} for {town}, asked by {name} on {day}",
    "How many {things} has the {place} in {town}",
]
_SUM = re.compile(r"(\d+) \+ (\d+) =")


class Sums(Generator):
    """Fields ``prompt``, ``response`` (working and final answer) and ``answer``. No sum has more than three digits."""

    fields: ClassVar[tuple[str, ...]] = ("prompt", "response", "answer")

    def write(self, dice: Dice) -> Fields:
        """One sum: numbers decide the operands, everything else what is asked around them."""
        x = dice.numbers.randint(10 ** (DIGITS - 1), 9 * 10 ** (DIGITS - 1) - 1)
        y = dice.numbers.randint(10 ** (DIGITS - 1), 10**DIGITS - 1 - x)
        question = filled(
            one(dice.wording, QUESTIONS),
            name=one(dice.names, words.NAMES),
            town=one(dice.names, words.TOWNS),
            day=one(dice.names, words.DAYS),
            trade=one(dice.names, words.TRADES),
            colour=one(dice.names, words.COLOURS),
            things=one(dice.content, words.THINGS),
            place=one(dice.content, words.PLACES),
        )
        prompt = f"{question[:1].upper()}{question[1:]}: {x} + {y} = ?"
        return {"prompt": prompt, "response": f"{working(x, y)}\n{MARK} {x + y}", "answer": str(x + y)}


def working(x: int, y: int) -> str:
    """The columns from the right: digit + digit + carried = two digits."""
    return ", ".join(_columns(x, y))


def operands(prompt: str) -> tuple[int, int] | None:
    """The two numbers that a question asks to add up, the smaller first: which problem it is, whatever is said around.

    None where it asks for no sum.
    """
    found = _SUM.search(prompt)
    if found is None:
        return None
    smaller, larger = sorted(int(number) for number in found.groups())
    return smaller, larger


def _columns(x: int, y: int) -> Iterator[str]:
    carried = 0
    for _ in range(DIGITS):
        total = x % 10 + y % 10 + carried
        yield f"{x % 10}+{y % 10}+{carried}={total:02}"
        x, y, carried = x // 10, y // 10, total // 10
