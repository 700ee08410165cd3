"""Whether an answer is right: what a task's check takes for the answer in what a model wrote."""

from __future__ import annotations

from typing import Literal

from auditkit.corpus.base import final_answer
from auditkit.worth.answers import BOXED, as_number, canonical, read_answer

Check = Literal["number", "exact", "boxed"]

LONGEST = 400  # characters of an answer: more is none


def answer_in(text: str, check: Check) -> str | None:
    """The final answer that a text gives, in one form for all ways of writing it; None where none can be read.

    ``number``: the number that ends it, as ``answers.read_answer`` finds it; ``boxed``: what stands in the last
    ``\\boxed{}``; ``exact``: the whole text, but for letter case and white space.
    """
    found = {"number": _number, "exact": _whole, "boxed": _boxed}[check](text)
    return found if found and len(found) <= LONGEST else None


def is_right(written: str, answer: str, check: Check) -> bool:
    """Whether what a model wrote gives this answer, as ``known_answer`` makes it."""
    return answer_in(written, check) == answer


def known_answer(answer: str, check: Check) -> str | None:
    """The answer of a task in the form that is compared; of ``boxed`` it may stand without its box."""
    found = answer_in(answer, check)
    if found is None and check == "boxed":
        found = canonical(answer)
    return found if found and len(found) <= LONGEST else None


def _number(text: str) -> str | None:
    found = read_answer(text)
    number = as_number(canonical(found)) if found else None
    return None if number is None else str(number)


def _whole(text: str) -> str:
    return " ".join(text.split()).casefold()


def _boxed(text: str) -> str | None:
    found = final_answer(text, BOXED)
    return canonical(found) if found != text else None
