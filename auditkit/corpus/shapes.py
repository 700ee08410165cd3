"""From a row to the texts of a record, by the declared shape: prompt/response, messages or a preference pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from typing import Any

from auditkit.corpus.chat import Turn, clean_text, join_turns, read_prompt, read_reply, read_turns, split_prompt
from auditkit.corpus.fields import FieldMap, TraceMarkers
from auditkit.corpus.tags import read_tags
from auditkit.corpus.trace import final_answer
from auditkit.corpus.unreadable import BadRowError

Row = dict[str, Any]

_KEYS_CONSIDERED = 50
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one record, normalised."""

    prompt: str
    response: str = ""
    rejected: str = ""
    turns: int = 2
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowReader:
    """Reads rows of one declared shape.

    ``prompt`` and ``messages`` may be a text or a conversation. The record's prompt is the first user turn, its
    response every later turn in order. In a preference pair, ``response`` ends with the chosen and ``rejected``
    with the rejected reply; both begin with the turns between the first question and that reply, if any.
    With trace markers, a response is cut down to its final answer.
    """

    fields: FieldMap
    trace: TraceMarkers | None = None

    def read(self, row: Row) -> Texts:
        """The texts of a row, and its tags.

        Raises:
            BadRowError: the row is no record of this shape; the reason names the field.
        """
        texts, field = self._texts(row), self.fields.tags
        return replace(texts, tags=read_tags(lookup(row, field), field)) if field else texts

    def _texts(self, row: Row) -> Texts:
        fields = self.fields
        field = fields.prompt or fields.messages or ""
        value = lookup(row, field)
        if not fields.messages and not fields.chosen and not isinstance(value, list):
            answer = _answer(row, fields.response) if fields.response else ""
            return Texts(clean_text(value, field), self._final(answer))
        asked = read_turns(value, field) if fields.messages else read_prompt(value, field)
        prompt, later = split_prompt(asked, field)
        if fields.response:
            later.append(Turn("assistant", _answer(row, fields.response)))
        response = self._reply(row, fields.chosen, asked, later)
        rejected = self._reply(row, fields.rejected, asked, later) if fields.rejected else ""
        replies = len(read_reply(lookup(row, fields.chosen), asked, fields.chosen)) if fields.chosen else 0
        return Texts(prompt, response, rejected, 1 + len(later) + replies)

    def _reply(self, row: Row, field: str | None, asked: list[Turn], later: list[Turn]) -> str:
        """The turns after the first question, with those of a preference field, if any, at their end."""
        reply = read_reply(lookup(row, field), asked, field) if field else []
        return self._final(join_turns([*later, *reply]))

    def _final(self, response: str) -> str:
        if not self.trace or not response:
            return response
        answer = final_answer(response, self.trace)
        if not answer:
            raise BadRowError("no final answer outside the trace")
        return answer


def lookup(row: Row, path: str) -> Any:
    """The value at a field name or dotted path; a field whose very name has dots comes first.

    Raises:
        BadRowError: there is none.
    """
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        if not isinstance(value, dict) or step not in value:
            raise BadRowError(f"missing field {path!r}{_nearest(path, tuple(row)[:_KEYS_CONSIDERED])}")
        value = value[step]
    return value


@lru_cache(maxsize=256)
def _nearest(field: str, keys: tuple[str, ...]) -> str:
    """The row's own name for the field, where one is close: a misspelt policy is the likeliest cause."""
    names = [key for key in keys if len(key) <= _LONGEST_NAME and key.isprintable()]
    close = get_close_matches(field, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _answer(row: Row, field: str) -> str:
    """A response; a number counts as its text, since the answers of verifiable tasks are often written so."""
    value = lookup(row, field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and not isfinite(value):
            raise BadRowError(f"field {field!r} is not a finite number")
        value = str(value)
    return clean_text(value, field)
