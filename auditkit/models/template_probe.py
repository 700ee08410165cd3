"""Conversations of marker texts, rendered through a chat template all at once, and what can be read off the result.

A marker stands where a message's content goes. Markers are made of letters alone, so that no template escapes or
splits them, and are looked for regardless of case. The user's first content comes in two versions that differ from
their first letter on: what both renderings begin with alike is the text before the user's first word.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from auditkit.errors import TemplateError
from auditkit.models.sandbox import Limits, SandboxError, printable, run_confined

MOST_TEMPLATE_CHARACTERS = 500_000
WORKER = Path(__file__).with_name("template_child.py")

USER, OTHER_USER = "Quvexilomar", "Zobrinawelt"
ANSWER, SECOND_USER, SECOND_ANSWER, THIRD_USER = "Jaktumervol", "Wexondarlip", "Murvathelin", "Fendoquarix"
SYSTEM = "Hylborantiq"
NEUTRAL = "You are a helpful assistant."

LIST_PRINTED = re.compile(r"""\{['"](type['"]: ?['"]text|text['"]: ?['"])""")

System = str | None  # the system message's content; None: no such message


@dataclass(frozen=True)
class Dialect:
    """How a template wants its messages: content as text or as a list of parts, and the answering role's name."""

    parts: bool = False
    answerer: str = "assistant"

    def message(self, role: str, text: str) -> dict[str, Any]:
        """One message in this dialect."""
        return {"role": role, "content": [{"type": "text", "text": text}] if self.parts else text}


DIALECTS = (Dialect(), Dialect(parts=True), Dialect(answerer="model"), Dialect(answerer="bot"))


@dataclass(frozen=True)
class Case:
    """One conversation: user and answering turns in turn, a system message in front unless ``system`` is None."""

    dialect: Dialect
    system: System
    turns: tuple[str, ...]
    prompt: bool = False  # add_generation_prompt

    def variables(self, bos_token: str, eos_token: str) -> dict[str, Any]:
        """What the template is rendered with, as a tokenizer would."""
        roles = ("user", self.dialect.answerer) * len(self.turns)
        messages = [self.dialect.message(role, text) for role, text in zip(roles, self.turns, strict=False)]
        if self.system is not None:
            messages.insert(0, self.dialect.message("system", self.system))
        tokens = {"bos_token": bos_token, "eos_token": eos_token}
        return {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": self.prompt, **tokens}


LONG = (USER, ANSWER, SECOND_USER, SECOND_ANSWER, THIRD_USER)
OPENINGS = (((), True), ((), False), ((ANSWER,), False))  # what may follow the user's first content


def opening_cases(dialect: Dialect, system: System) -> Iterator[Case]:
    """Every case from which the text before the user's first word can be read."""
    for rest, prompt in OPENINGS:
        for first in (USER, OTHER_USER):
            yield Case(dialect, system, (first, *rest), prompt)


def all_cases(systems: tuple[System, ...]) -> tuple[Case, ...]:
    """The whole questionnaire, in a fixed order."""
    found: dict[Case, None] = {}
    for dialect in DIALECTS:
        for system in systems:
            found.update(dict.fromkeys(opening_cases(dialect, system)))
            found[Case(dialect, system, LONG)] = None
    return tuple(found)


@dataclass(frozen=True)
class Probe:
    """A template's answers to the questionnaire."""

    outcomes: dict[Case, dict[str, str]]

    def text(self, case: Case) -> str | None:
        """The rendering, or None where there is none."""
        found = self.outcomes[case].get("text")
        if found is not None and case.dialect.parts and LIST_PRINTED.search(found):
            return None  # the list of parts itself was printed: this template wants texts
        return found

    def answers_in(self, dialect: Dialect, system: System) -> bool:
        """Whether the template prints an answer in this dialect."""
        cases = (Case(dialect, system, (USER, ANSWER)), Case(dialect, system, LONG))
        return any(self.between(case) is not None for case in cases)

    def opening(self, dialect: Dialect, system: System) -> str | None:
        """The text before the user's first word; None where the template gives none."""
        pairs = list(opening_cases(dialect, system))
        for one, other in zip(pairs[::2], pairs[1::2], strict=True):
            found = _common_opening(self.text(one), self.text(other))
            if found is not None:
                return found
        return None

    def between(self, case: Case) -> tuple[str, ...] | None:
        """The texts before, between and after the turns' contents; None unless each stands there, in order."""
        rendered = self.text(case)
        return None if rendered is None else split_at(rendered, case.turns)

    def complaint(self, system: System = None) -> str:
        """Why the plainest conversation could not be rendered, in a sentence's second half."""
        outcome = self.outcomes[Case(DIALECTS[0], system, (USER,), True)]
        reason = printable(outcome.get("reason", ""))
        return {
            "refused": f"refuses the conversation: {reason}",
            "security": f"tries to leave the sandbox: {reason}",
            "output": f"produces too much text: {reason}",
            "syntax": f"is not a valid Jinja2 template: {reason}",
            "failed": f"fails: {reason}",
        }.get(outcome.get("error", ""), "does not print the user's text")


def _common_opening(one: str | None, other: str | None) -> str | None:
    """What both renderings begin with, if right after it the two versions of the user's text stand."""
    if one is None or other is None:
        return None
    length = common_length(one, other)
    met = one[length:].casefold().startswith(USER.casefold())
    return one[:length] if met and other[length:].casefold().startswith(OTHER_USER.casefold()) else None


def common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """How many characters, or items, both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def split_at(rendered: str, markers: tuple[str, ...]) -> tuple[str, ...] | None:
    """The pieces around the markers, one more than there are markers; None if one is missing or out of order."""
    folded = "".join(char.lower() if char.isascii() else char for char in rendered)  # keeps every position
    pieces, start = [], 0
    for marker in markers:
        found = folded.find(marker.lower(), start)
        if found < 0:
            return None
        pieces.append(rendered[start:found])
        start = found + len(marker)
    return (*pieces, rendered[start:])


@lru_cache(maxsize=16)
def probe(template: str, bos_token: str, eos_token: str, date: datetime.date, systems: tuple[System, ...]) -> Probe:
    """Render the whole questionnaire in one sandboxed process.

    Raises:
        TemplateError: the template is too long, or takes too much time, memory or output, or crashes.
    """
    if len(template) > MOST_TEMPLATE_CHARACTERS:
        raise TemplateError(f"the chat template is longer than {MOST_TEMPLATE_CHARACTERS} characters")
    cases = all_cases(systems)
    job = {
        "template": template,
        "date": date.isoformat(),
        "cases": [case.variables(bos_token, eos_token) for case in cases],
    }
    limits = Limits()
    try:
        outcomes = run_confined(WORKER, job, limits=limits, folders=_library_folders())
    except SandboxError as error:
        reason = f": {printable(error.reason)}" if error.reason else ""
        raise TemplateError(
            f"the chat template {limits.sentence(error.failure)}{reason}",
            "a template only arranges messages; treat one that does this as tampered with",
        ) from None
    return Probe(dict(zip(cases, outcomes, strict=True)))


def _library_folders() -> list[Path]:
    """Where jinja2 and what it needs are installed, for an interpreter that ignores PYTHONPATH."""
    import jinja2
    import markupsafe

    return sorted({Path(str(module.__file__)).parent.parent for module in (jinja2, markupsafe)})
