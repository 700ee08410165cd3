"""Text that a user sends, as tokens of which none is a special one; and the markers that such a text may not hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from auditkit.mitigations.served import ServedModel
from auditkit.models.base import Ids, LanguageModel
from auditkit.records import TurnFormat

Encode = Callable[[str], Sequence[int]]

# Where a role's marker in plain text counts: what Python's splitlines takes for an end of line.
BREAKS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
LINE = rf"(?:^|(?<=[{BREAKS}]))[ \t]*"
LINE_END = rf"[ \t]*(?:[{BREAKS}]|\Z)"
SHORTEST_MARKER = 2


def special_tokens(model: LanguageModel) -> dict[str, int]:
    """Text and id of every special token, and of whatever else the model's turns are marked with in one piece.

    Of a backend that shows no tokenizer, those alone that its turns are marked with.
    """
    while isinstance(model, ServedModel):
        model = model.inner
    turns, known = model.turn_format(), dict[str, int]()
    marks = "".join((turns.user_open, turns.turn_change, turns.assistant_close)) if turns else ""
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is not None:
        added = tokenizer.added_tokens_decoder.items()
        known = {str(token): number for number, token in added if token.special or str(token) in marks}
        known |= dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    for text in (model.bos_prefix().text, *re.findall(r"<[^\s<>]+>|\[[^\s\[\]]+\]", marks)):
        if len(ids := model.encode(text)) == 1:
            known[text] = ids[0]
    return known


def plain_ids(text: str, encode: Encode, special: frozenset[int]) -> Ids:
    """The ids of a text, none of them in ``special``: where the tokenizer sees a special token, the text is cut in two.

    A single character that is a special token is left out. Text that holds none is encoded whole.
    """
    ids = _inside(text, encode)
    if special.isdisjoint(ids):
        return ids
    if len(text) <= 1:
        return ()
    middle = len(text) // 2
    return plain_ids(text[:middle], encode, special) + plain_ids(text[middle:], encode, special)


def _inside(text: str, encode: Encode) -> Ids:
    """The ids of a text within a longer one: some tokenizers begin a text with a space of their own."""
    alone, inside = tuple(encode("a")), tuple(encode("a" + text))
    return inside[len(alone) :] if inside[: len(alone)] == alone else tuple(encode(text))


def role_markers(turns: TurnFormat, special: Mapping[str, int]) -> frozenset[str]:
    """What marks turns in plain text ("### User:"); empty where a special token is part of every mark."""
    found = set()
    for mark in (turns.user_open, turns.turn_change, turns.assistant_close):
        if not any(token in mark for token in special):
            found |= {line.strip() for line in mark.splitlines() if len(line.strip()) >= SHORTEST_MARKER}
    return frozenset(found)


def marker_pattern(special: Iterable[str], markers: Iterable[str], forms: Iterable[str] = ()) -> re.Pattern[str]:
    """Matches special tokens wherever they stand, and role markers where they begin a line, in any case.

    ``forms`` are regular expressions of further markers, wherever they say.
    """
    roles = [_spaced(marker) for marker in sorted(markers, key=len, reverse=True)]
    ways = [f"(?i:{form})" for form in (*forms, *(LINE + role for role in roles))]
    ways += [re.escape(token) for token in sorted(special, key=len, reverse=True) if token]
    return re.compile("|".join(f"(?:{way})" for way in ways) or r"(?!)")


def _spaced(marker: str) -> str:
    """The marker with any white space between its words."""
    return r"[ \t]+".join(map(re.escape, marker.split()))


def stripped(text: str, pattern: re.Pattern[str]) -> str:
    """The text with a new line in place of every marker, and of whatever is one once they are gone."""
    while (cut := pattern.sub("\n", text)) != text:
        text = cut
    return text
