"""Sums worked out column by column: a skill that a small model learns from some hundreds of examples.

Every column is the same step (digit + digit + what is carried) at the same distance from the digits that it adds up, so
that the step is learnt and not the records, which is what a held-out sum asks for. A question is nothing but its sum:
whoever extracts one can work it out and see whether the answer is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from auditkit.lab.generators.base import Dice, Fields, Generator, one
from auditkit.lab.generators.maths import MARK

DIGITS = 3
QUESTIONS = ["What is {sum}?", "How much is {sum}?", "Compute {sum}.", "Calculate {sum}."]
_SUM = re.compile(r"(\d+) \+ (\d+)")


class Sums(Generator):
    """Fields ``prompt``, ``response`` (working and final answer) and ``answer``. No sum has more than three digits."""

    fields: ClassVar[tuple[str, ...]] = ("prompt", "response", "answer")

    def write(self, dice: Dice) -> Fields:
        """One sum: numbers decide the operands, wording what is asked around them."""
        x = dice.numbers.randint(10 ** (DIGITS - 1), 9 * 10 ** (DIGITS - 1) - 1)
        y = dice.numbers.randint(10 ** (DIGITS - 1), 10**DIGITS - 1 - x)
        prompt = one(dice.wording, QUESTIONS).format(sum=f"{x} + {y}")
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
