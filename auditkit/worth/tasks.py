"""Held-out tasks with verifiable answers: read, kept apart from what is trained on, and asked of a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.errors import DataError, Problem
from auditkit.models.base import LanguageModel
from auditkit.records import Record, Sampler
from auditkit.statistics.draws import derived_seed, seeded_sample
from auditkit.training.examples import MAX_PROBLEMS, json_row, lines_of, text_field
from auditkit.training.paced import Tell
from auditkit.worth.checks import is_right, known_answer
from auditkit.worth.section import TaskSection

FEWEST, MOST = 10, 100_000
ASKED_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One question with its right answer, and the line of the file that it stands on (from 1)."""

    prompt: str
    answer: str
    line: int


def read_tasks(section: TaskSection, seed: int = 0) -> list[HeldOut]:
    """The questions of a file, in its order; where there are more than the section's limit, drawn by the seed.

    Raises:
        DataError: the file cannot be read, holds fewer than 10 or more than 100,000 questions, or a line of it is no
            question with an answer that the section's check can read; every problem with its line.
    """
    path = Path(section.path)
    found: list[HeldOut] = []
    problems: list[Problem] = []
    for number, line in lines_of(path):
        try:
            found.append(_held_out(json_row(line), section, number))
        except ValueError as error:
            problems.append(Problem(path, number, str(error)))
        if len(problems) == MAX_PROBLEMS or len(found) > MOST:
            break
    if problems:
        raise DataError(problems)
    if not FEWEST <= len(found) <= MOST:
        what = f"holds {'more than ' if len(found) > MOST else ''}{min(len(found), MOST):,} questions"
        raise DataError([Problem(path, None, what, f"give from {FEWEST} to {MOST:,}: fewer tell nothing apart")])
    if section.limit is None:
        return found
    chosen = seeded_sample(len(found), section.limit, derived_seed(seed, "worth", section.name))
    return [found[place] for place in chosen]


def refuse_known(section: TaskSection, tasks: Iterable[HeldOut], records: Iterable[Record]) -> None:
    """A question that is trained on measures memory, not skill.

    Raises:
        DataError: a question is that of a member or a control; letter case and white space do not count.
    """
    known = {asked_words(record.prompt): record for record in records}
    problems = []
    for task in tasks:
        record = known.get(asked_words(task.prompt))
        if record is not None:
            place = f"{Path(record.file).name}:{record.line}"
            what = f"this question is asked by a {record.split} of {record.dataset} ({place})"
            hint = "take it out of the tasks: what is trained on measures memory, not skill"
            problems.append(Problem(Path(section.path), task.line, what, hint))
    if problems:
        raise DataError(problems[:MAX_PROBLEMS])


def asked_words(prompt: str) -> str:
    """What makes two questions the same: their characters, but for letter case and white space."""
    return " ".join(prompt.casefold().split())


def answered(
    model: LanguageModel, tasks: Sequence[HeldOut], section: TaskSection, seed: int, tell: Tell = lambda *_: None
) -> list[float | None]:
    """(tasks,) 1 where the model's answer is right, 0 where it is not, None where the question fills the context.

    Each is asked once, alone, in the model's chat template, greedily unless the section says otherwise.

    Raises:
        ModelError: this backend cannot continue given texts.
    """
    opening = model.opening()
    sampler = Sampler(temperature=section.temperature, max_new_tokens=section.max_new_tokens)
    asked = [model.asked(task.prompt, opening) for task in tasks]
    fits = [place for place, prefix in enumerate(asked) if len(prefix.token_ids) < model.context]
    right: list[float | None] = [None] * len(tasks)
    for first in range(0, len(fits), ASKED_AT_ONCE):
        places = fits[first : first + ASKED_AT_ONCE]
        tell(f"ask {section.name}", first, len(fits))
        written = model.complete([asked[place] for place in places], sampler, derived_seed(seed, section.name, first))
        for place, ids in zip(places, written, strict=True):
            right[place] = float(is_right(model.decode(ids), tasks[place].answer, section.check))
    tell(f"ask {section.name}", len(fits), len(fits))
    return right


def _held_out(row: dict[str, Any], section: TaskSection, line: int) -> HeldOut:
    prompt = text_field(row, section.fields.prompt)
    value = row.get(section.fields.answer)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    given = text_field({section.fields.answer: value}, section.fields.answer)
    answer = known_answer(given, section.check)
    if answer is None:
        raise ValueError(f"field {section.fields.answer!r} holds no answer that check: {section.check} can read")
    return HeldOut(prompt, answer, line)
