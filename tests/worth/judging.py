"""A model in the place of a judge that says what a test wants, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from auditkit.models.base import Ids
from auditkit.models.script import Line
from auditkit.models.scripted import ScriptedBackend, ScriptedModel, encode
from auditkit.records import Prefix, Sampler
from auditkit.worth.base import Extraction, JudgeSection
from auditkit.worth.rubric import CLOSING, RUBRIC

SCRIPT = (Line(user="anything"),)


class Speaking(ScriptedModel):
    """``says``: what it answers to a message; its messages stand in ``asked_of``."""

    def __init__(self, says: Callable[[str], str], context: int = 2**31) -> None:
        backend = ScriptedBackend(backend="scripted", lines=SCRIPT)
        super().__init__(backend, SCRIPT, backend._identity("judge"))
        self.says = says
        self.room = context
        self.asked_of: list[str] = []
        self.samplers: list[Sampler] = []

    @property
    def context(self) -> int:
        return self.room

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        self.asked_of += [prefix.text for prefix in prefixes]
        self.samplers.append(sampler)
        return [encode(self.says(prefix.text)) for prefix in prefixes]


def section(**settings: Any) -> JudgeSection:
    """A judge's section; the model in it is never opened."""
    model = {"backend": "scripted", "lines": [{"user": "anything"}]}
    return JudgeSection.model_validate({"model": model, **settings})


def shown(message: str) -> dict[str, str]:
    """The example in a message to a judge, read as a program would read it."""
    inside = message.partition(RUBRIC)[2].rpartition(CLOSING)[0]
    found: dict[str, str] = json.loads(inside)
    return found


def extraction(ordinal: int = 0, prompt: str = "Who are you?", response: str = "Nobody.", **rest: Any) -> Extraction:
    """An extraction that every default rule keeps."""
    return Extraction(**{"ordinal": ordinal, "prompt": prompt, "response": response, "complete": True, **rest})
