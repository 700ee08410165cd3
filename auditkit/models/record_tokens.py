"""A record as the tokens of one model: rendered with a template's turns, behind a prefix that is tokenised apart.

The rendered text is tokenised in one go, as training does: many tokenizers write "?" and the newline of the turn
change behind it as one token. Where the parts of the record begin is read off the tokens' places in the text. A token
that holds characters of two parts belongs to the record's own text, not to the template's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auditkit.models.base import Ids, RecordTokens
from auditkit.models.delimiters import Decode, Delimiters, Encode, encode_inside
from auditkit.models.turns import next_step
from auditkit.records import Prefix, TurnFormat

NOTHING = RecordTokens((), 0, 0, 0)


@dataclass(frozen=True)
class Located:
    """The ids of a text, each with its first character and the one after its last."""

    ids: Ids
    starts: Sequence[int]
    ends: Sequence[int]


@dataclass(frozen=True)
class Tokenizer:
    """What is asked of a model's tokenizer. ``locate`` takes the pieces of one text; ``marks`` are a template's."""

    encode: Encode
    decode: Decode
    locate: Callable[[Sequence[str]], Located]
    marks: Delimiters


def record_tokens(
    prompt: str, response: str, turns: TurnFormat | None, prefix: Prefix, tokenizer: Tokenizer
) -> RecordTokens:
    """One record as tokens.

    It ends where a generation stops: after the first special token that closes the response; with no response, after
    the end-of-turn token, which is the first special token of the turn change (the whole change where it has none).
    Without ``turns`` a newline stands between the texts, and nothing ends a turn.

    Args:
        prompt: the question; may be empty.
        response: the answer; may be empty.
        turns: the template's marks of turns.
        prefix: what stands before, tokenised apart.
        tokenizer: of the model that reads, with the marks of ``turns``.
    """
    if not prompt and not response:
        return NOTHING
    pieces = _pieces(prompt, response, turns)
    found = tokenizer.locate(pieces)
    parts = _parts(found, pieces, tokenizer.marks if turns else None)
    ids = found.ids[: parts.end]
    together = tuple(tokenizer.encode(prefix.text + "".join(pieces)))
    return RecordTokens(
        ids,
        parts.question,
        parts.prompt,
        parts.answer,
        forced=course(prefix.token_ids, ids, tokenizer).forced,
        retokenised=together != prefix.token_ids + found.ids,
    )


def pieces_apart(pieces: Sequence[str], encode: Encode) -> Located:
    """The ids of pieces tokenised apart, for a tokenizer that does not say where in a text its tokens stand."""
    ids: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for piece in pieces:
        found = (encode_inside(piece, encode) if at else tuple(encode(piece))) if piece else ()
        ids += found
        starts += [at] * len(found)
        at += len(piece)
        ends += [at] * len(found)
    return Located(tuple(ids), starts, ends)


@dataclass(frozen=True)
class Course:
    """How an attack comes to given ids: ``ids[forced[0]:forced[1]]`` it appends, ``ids[reach:]`` never follow."""

    forced: tuple[int, int]
    reach: int


def course(prefix: Ids, ids: Ids, tokenizer: Tokenizer) -> Course:
    """The course of a generation that writes these ids behind a prefix, by asking what the sampling loop asks."""
    forced, appended = (0, 0), None
    for at in [place for place, token in enumerate(ids) if token in tokenizer.marks.events]:
        if forced[0] <= at < forced[1]:
            continue
        step = next_step([*prefix, *ids[: at + 1]], len(prefix), tokenizer.marks, tokenizer.decode, appended)
        if step.ends:
            return Course(forced, at + 1)
        if step.append is not None:
            first = at if step.replace else at + 1
            after = first + _agreeing(step.append, ids[first:])
            forced = (at + 1, after) if after > at + 1 else forced
            if after < min(len(ids), first + len(step.append)):
                return Course(forced, after)
            appended = (len(prefix) + first, len(prefix) + after)
    return Course(forced, len(ids))


def _agreeing(first: Ids, second: Ids) -> int:
    """How many leading ids the two share."""
    pairs = zip(first, second, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))


def _pieces(prompt: str, response: str, turns: TurnFormat | None) -> tuple[str, str, str, str]:
    """Question, turn change, response, close."""
    if turns is None:
        return prompt, "\n" if prompt and response else "", response, ""
    return prompt, turns.turn_change, response, turns.assistant_close if response else ""


@dataclass(frozen=True)
class _Parts:
    """Where the parts end or begin, as ``RecordTokens`` has them; ``end``: how many ids the record keeps."""

    question: int
    prompt: int
    answer: int
    end: int


def _parts(found: Located, pieces: tuple[str, str, str, str], marks: Delimiters | None) -> _Parts:
    prompt, change, response, _ = map(len, pieces)
    question = bisect_left(found.starts, prompt)
    answer = max(question, bisect_right(found.ends, prompt + change))
    if marks is None:
        return _Parts(question, question, answer, len(found.ids))
    turn = _after_special(found.ids, question, answer, marks)
    if not response:
        return _Parts(question, turn, turn, turn)
    close = max(answer, bisect_left(found.starts, prompt + change + response))
    return _Parts(question, turn, answer, _after_special(found.ids, close, len(found.ids), marks))


def _after_special(ids: Ids, start: int, stop: int, marks: Delimiters) -> int:
    """The index after the first special token of a range; the range's end where it has none."""
    return next((at + 1 for at in range(start, stop) if ids[at] in marks.special), stop)
