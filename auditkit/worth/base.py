"""What an attacker makes of generations: what each gives to train on, and why some give nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from auditkit.worth.filter_section import FilterSection, JudgeSection
from auditkit.worth.section import WorthSection

__all__ = ["REASONS", "Extraction", "FilterSection", "Filtered", "JudgeSection", "WorthSection"]

NO_QUESTION = "no question"
CUT_OFF = "cut off or withheld"
NO_ANSWER = "no answer"
NO_FINAL_ANSWER = "no final answer"
MARKUP = "template markup inside a turn"
REPETITION = "degenerate repetition"
TOO_SHORT = "too short"
TOO_LONG = "too long"
SCRIPT = "another script"
LANGUAGE = "another language"
EXACT_DUPLICATE = "exact duplicate"
NEAR_DUPLICATE = "near duplicate"
WRONG = "verifiably wrong answer"
OUTVOTED = "outvoted answer"
JUDGED = "judged too low"
UNREADABLE = "the judge gave no readable answer"

# In the order in which they are asked: a generation is dropped for the first that holds.
REASONS: tuple[str, ...] = (
    NO_QUESTION,
    CUT_OFF,
    NO_ANSWER,
    NO_FINAL_ANSWER,
    TOO_SHORT,
    TOO_LONG,
    MARKUP,
    REPETITION,
    SCRIPT,
    LANGUAGE,
    WRONG,
    EXACT_DUPLICATE,
    OUTVOTED,
    NEAR_DUPLICATE,
    JUDGED,
    UNREADABLE,
)


@dataclass(frozen=True, slots=True)
class Extraction:
    """What one generation gives an attacker to train on.

    ``ordinal`` is the generation's within its attack. ``response`` is "" where only the question came out.
    ``complete``: whether the generation ended by itself. ``answer``: the final answer, where one could be read.
    """

    ordinal: int
    prompt: str
    response: str
    complete: bool
    answer: str | None = None


@dataclass(frozen=True)
class Filtered:
    """What was kept, in the order of its ordinals, and why the rest was not: ordinal -> one of ``REASONS``."""

    kept: tuple[Extraction, ...]
    dropped: Mapping[int, str]

    def counts(self) -> dict[str, int]:
        """How many were kept, then how many were dropped for each reason that occurred, in the order of the rules."""
        found = Counter(self.dropped.values())
        return {"kept": len(self.kept)} | {reason: found[reason] for reason in REASONS if found[reason]}

    @property
    def total(self) -> int:
        """How many generations were looked at."""
        return len(self.kept) + len(self.dropped)
