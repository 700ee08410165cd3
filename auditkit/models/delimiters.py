"""A chat template's delimiters as token ids of one tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from auditkit.records import TurnFormat

Ids = tuple[int, ...]
Encode = Callable[[str], Sequence[int]]
Decode = Callable[[Sequence[int]], str]

# A shorter plain-text delimiter ("Q:") would be found in ordinary text.
SHORTEST_TEXT_DELIMITER = 5


@dataclass(frozen=True)
class Header:
    """What opens a turn: token ids without blank ones.

    ``newline`` says that the template ends the header with one, ``line_start`` that it is ordinary text, which
    counts as a header only where it begins a line.
    """

    ids: Ids
    newline: bool = False
    line_start: bool = False


@dataclass(frozen=True)
class Delimiters:
    """A template's delimiters in one tokenizer's ids.

    ``change`` is the turn change as the template writes it, which is what gets appended. ``stops`` are the ids at
    which generation libraries stop, ``special`` those that never reach the text, ``blank`` those that are white space
    only, ``ends`` those that end the assistant's turn, ``closing`` those of them that are still part of it.
    ``role_open`` opens a turn of any role (ChatML's ``<|im_start|>``); None where each role has its own token.
    ``tail`` is what the template writes behind the assistant's header, such as an empty thought, without blank ids.
    ``plain`` templates change turns without special tokens ("### Response:"); their delimiters are also looked for as
    texts.
    """

    change: Ids
    assistant: Header
    user: Header
    stops: frozenset[int]
    special: frozenset[int]
    blank: frozenset[int]
    ends: frozenset[int]
    closing: frozenset[int]
    role_open: int | None
    tail: Ids = ()
    plain: bool = False
    assistant_text: str = ""
    user_text: str = ""

    @property
    def events(self) -> frozenset[int]:
        """Ids after which a running sample has to be looked at."""
        return self.stops | self.ends

    @cached_property
    def watched(self) -> frozenset[int]:
        """Ids that are more than text, or may be."""
        return self.special | self.ends | {*self.assistant.ids[:1], *self.user.ids[:1]}


@dataclass(frozen=True)
class Tokens:
    """What ``delimiters`` has to know of a tokenizer: how it encodes, and which ids are of what kind."""

    encode: Encode
    stops: frozenset[int]
    special: frozenset[int]
    blank: frozenset[int]
    added: frozenset[int] = frozenset()  # one-piece tokens that the tokenizer does not flag as special


def delimiters(turn_format: TurnFormat, tokens: Tokens) -> Delimiters:
    """The delimiters of a template as token ids."""
    change, user, close = (
        encode_inside(text, tokens.encode)
        for text in (turn_format.turn_change, turn_format.user_open, turn_format.assistant_close)
    )
    special = tokens.special
    if not special.intersection(change):
        special |= tokens.added.intersection(change + user + close)
    plain = not special.intersection(change)
    kinds = _Kinds(special, tokens.blank, _solid(close, tokens.blank))
    opened = _header(user, kinds.opening(change), kinds, tokens)
    assistant = _from(opened.ids[:1], _header(change, kinds.opening(user), kinds, tokens), special)
    closing = tokens.stops | _first_special(close, special)
    return Delimiters(
        change=change,
        assistant=replace(assistant, line_start=plain and "\n" in _leading_space(turn_format.turn_change)),
        user=replace(opened, line_start=not special.intersection(opened.ids[:1])),
        stops=tokens.stops,
        special=special | tokens.stops,
        blank=tokens.blank,
        ends=closing | _heads(assistant, opened, special),
        closing=closing,
        role_open=_role_open(assistant, opened, special),
        tail=_behind(assistant.ids, _solid(change, tokens.blank)),
        plain=plain,
        assistant_text=_text_delimiter(turn_format.turn_change) if plain else "",
        user_text=_text_delimiter("\n" + turn_format.user_open) if plain else "",
    )


def without_template(tokens: Tokens) -> Delimiters:
    """For a model that carries no chat template: one turn, up to the end of sequence."""
    none = Header(())
    special = tokens.special | tokens.stops
    return Delimiters((), none, none, tokens.stops, special, tokens.blank, tokens.stops, tokens.stops, None)


def encode_inside(text: str, encode: Encode) -> Ids:
    """The ids of a text within a longer one: some tokenizers begin a text with a space of their own."""
    alone, inside = encode("a"), encode("a" + text)
    return tuple(inside[len(alone) :] if list(inside[: len(alone)]) == list(alone) else encode(text))


def _solid(ids: Ids, blank: frozenset[int]) -> Ids:
    return tuple(token for token in ids if token not in blank)


def _shared(first: Ids, second: Ids) -> int:
    """How many leading ids the two have in common: what closes a turn, whoever speaks next."""
    equal = [a == b for a, b in zip(first, second, strict=False)]
    return equal.index(False) if False in equal else len(equal)


@dataclass(frozen=True)
class _Kinds:
    """Which ids are special, which are blank, and which close the assistant's turn."""

    special: frozenset[int]
    blank: frozenset[int]
    close: Ids

    def closing(self, ids: Ids) -> int:
        """How many of the ids, without blank ones, only close the turn before."""
        return _shared(_solid(ids, self.blank), self.close)

    def opening(self, ids: Ids) -> Ids:
        """From there up to the last special id, without blank ones."""
        last = max((i for i, token in enumerate(ids) if token in self.special), default=-1)
        return _solid(ids[: last + 1], self.blank)[self.closing(ids) :]


def _header(ids: Ids, other: Ids, kinds: _Kinds, tokens: Tokens) -> Header:
    """What tells this turn's opening from any other: its special tokens, and the role's name where those do not do.

    Templates may write more there, such as an empty thought; a model's own header need not. What closes the turn
    before is no part of it, save where nothing else in it is special: a role's name alone is ordinary text.
    ``other`` is the other role's opening.
    """
    opening = kinds.opening(ids)
    if kinds.special.intersection(opening) and opening != other:
        return Header(opening)
    line, closing = _first_line(ids, kinds), kinds.closing(ids)
    if not kinds.special.intersection(_solid(line, kinds.blank)[closing:]):
        line, closing = ids, 0
    return Header(_solid(line, kinds.blank)[closing:], newline=_ends_with_newline(ids[: len(line) + 1], tokens))


def _first_line(ids: Ids, kinds: _Kinds) -> Ids:
    """The ids up to the first blank one behind the last special token."""
    last = max((i for i, token in enumerate(ids) if token in kinds.special), default=-1)
    stop = next((i for i in range(last + 1, len(ids)) if ids[i] in kinds.blank), len(ids))
    return ids[:stop]


def _from(opening: Ids, header: Header, special: frozenset[int]) -> Header:
    """The header without what stands before the special token that opens turns of any role."""
    if not special.intersection(opening) or opening[0] not in header.ids:
        return header
    return replace(header, ids=header.ids[header.ids.index(opening[0]) :])


def _ends_with_newline(ids: Ids, tokens: Tokens) -> bool:
    newlines = {ids_of[-1] for text in ("a\n", "a\n\n") if (ids_of := tokens.encode(text))}
    return bool(ids) and ids[-1] in tokens.blank and ids[-1] in newlines


def _first_special(ids: Ids, special: frozenset[int]) -> frozenset[int]:
    return frozenset([token for token in ids if token in special][:1])


def _heads(assistant: Header, user: Header, special: frozenset[int]) -> frozenset[int]:
    """The special tokens that open a turn: after the assistant's turn they end the sample."""
    return _first_special(assistant.ids, special) | _first_special(user.ids, special)


def _role_open(assistant: Header, user: Header, special: frozenset[int]) -> int | None:
    if not assistant.ids or not user.ids or assistant.ids == user.ids:
        return None
    head = assistant.ids[0]
    return head if head == user.ids[0] and head in special else None


def _behind(header: Ids, change: Ids) -> Ids:
    """What follows the header's ids in those of the turn change."""
    starts = (at for at in range(len(change)) if header and change[at : at + len(header)] == header)
    at = next(starts, None)
    return change[at + len(header) :] if at is not None else ()


def _leading_space(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]


def _text_delimiter(text: str) -> str:
    """The text to look for: from the line's beginning where the template begins one."""
    stripped = text.strip()
    return ("\n" if "\n" in _leading_space(text) else "") + stripped if len(stripped) >= SHORTEST_TEXT_DELIMITER else ""
