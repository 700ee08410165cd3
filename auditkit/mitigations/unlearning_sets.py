"""What is to be forgotten and what is to be retained: the leaked records, and all the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.base import Declared, Indices, Workshop
from auditkit.records import Record
from auditkit.training.examples import Example
from auditkit.training.rows import Row, chat_row, plain_end, plain_row
from auditkit.training.unlearning import Sets

Forget = Literal["leaked", "all"]


@dataclass(frozen=True)
class Divided:
    """The members, each on one side. ``counts``: dataset -> how many of it are to be forgotten."""

    forget: tuple[tuple[Declared, Record], ...]
    retain: tuple[tuple[Declared, Record], ...]
    counts: Mapping[str, int]


def divided(workshop: Workshop, forget: Forget) -> Divided:
    """Which members are to be forgotten: those that leaked with all that nearly repeat them, or every one.

    What nearly repeats a leaked record would teach it again, were it retained.

    Raises:
        MitigationFailedError: nothing leaked.
    """
    leaked = {} if forget == "all" else workshop.leaked()
    chosen = {
        data.name: _every(data) if forget == "all" else _with_repeats(data, leaked.get(data.name))
        for data in workshop.datasets
    }
    if not any(len(positions) for positions in chosen.values()):
        hint = "leave this arm out, or unlearn every member with forget: all"
        raise MitigationFailedError("nothing leaked in the baseline, so there is nothing to unlearn", hint)
    sides: tuple[list[tuple[Declared, Record]], list[tuple[Declared, Record]]] = ([], [])
    for data in workshop.datasets:
        gone = set(chosen[data.name].tolist())
        for at, record in enumerate(data.members):
            sides[at not in gone].append((data, record))
    counts = {name: len(positions) for name, positions in chosen.items() if len(positions)}
    return Divided(tuple(sides[0]), tuple(sides[1]), counts)


def row_sets(tokenizer: Any, parts: Divided, more: Sequence[Example], context: int) -> Sets:
    """Both sides as rows, none longer than the model's context: what is beyond it is cut off.

    Args:
        tokenizer: of the model that unlearns.
        parts: the members.
        more: examples to be retained besides.
        context: tokens that the model sees at once.

    Raises:
        AuditkitError: the chat template changes texts.
        MitigationFailedError: nothing is left to be retained.
    """
    others = [row for example in more for row in [_example_row(tokenizer, example)] * example.repeats]
    forget = _cut((_record_row(tokenizer, *one) for one in parts.forget), context)
    retain = _cut([*(_record_row(tokenizer, *one) for one in parts.retain), *others], context)
    if not retain:
        what = "every member is to be forgotten, and nothing says what is to be retained"
        raise MitigationFailedError(what, "give texts that the model should keep with retain")
    if not forget:
        raise MitigationFailedError("no token of what is to be forgotten fits the model", "")
    return Sets(forget, retain, plain_end(tokenizer))


def control_rows(tokenizer: Any, datasets: Sequence[Declared], context: int) -> list[Row]:
    """The controls as rows, to be read and never trained on: so likely is what the model never saw."""
    return _cut((_record_row(tokenizer, data, record) for data in datasets for record in data.controls), context)


def _every(data: Declared) -> Indices:
    return np.arange(len(data.members))


def _with_repeats(data: Declared, leaked: Indices | None) -> Indices:
    if leaked is None or not len(leaked):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.isin(data.clusters, data.clusters[leaked]))


def _record_row(tokenizer: Any, data: Declared, record: Record) -> Row:
    """A record as the candidate's chat template writes it; in none where it is a plain text."""
    if not tokenizer.chat_template or (data.stage == "midtrain" and not record.response):
        return plain_row(tokenizer, record.text)
    return chat_row(tokenizer, record.prompt, record.response, "all")


def _example_row(tokenizer: Any, example: Example) -> Row:
    if example.plain or not tokenizer.chat_template:
        return plain_row(tokenizer, example.text)
    return chat_row(tokenizer, example.prompt, example.response, "all")


def _cut(rows: Sequence[Row] | Iterator[Row], context: int) -> list[Row]:
    return [short for row in rows if (short := replace(row, ids=row.ids[:context])).scored]
