"""Members altered in known ways: what an instrument that is not blind must still find."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from auditkit.errors import AuditkitError
from auditkit.records import Record, View
from auditkit.scoring.base import Index

RequiredVariant = Literal["verbatim", "numbers_changed", "words_replaced", "cut_90"]
InformationalVariant = Literal["characters_edited", "prompt_alone"]
REQUIRED_VARIANTS: tuple[RequiredVariant, ...] = get_args(RequiredVariant)
INFORMATIONAL_VARIANTS: tuple[InformationalVariant, ...] = get_args(InformationalVariant)
# Named in reports with the reason, so that nobody takes their absence for a success.
VARIANTS_NOT_RUN = {"paraphrased": "not run: it takes a paraphrasing model, and none comes with auditkit"}

MEMBERS = 200
LEAST_QUERIES = 20
REPLACED_SHARE = 0.05
KEPT_SHARE = 0.9

_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def chosen_members(records: int, seed: int, count: int = MEMBERS) -> Index:
    """Positions of the members to alter, ascending: ``count`` of them, or all where there are fewer."""
    random = np.random.default_rng([seed, 0x706F73])
    return np.sort(random.choice(records, size=min(count, records), replace=False)).astype(np.int64)


def vocabulary_of(texts: Sequence[str]) -> list[str]:
    """The distinct words of a corpus, sorted: what replaces a word must look at home in it."""
    return sorted({word for text in texts for word in _WORD.findall(text) if not word.isdigit()})


def altered_texts(
    variant: str, records: Sequence[Record], view: View, seed: int, vocabulary: Sequence[str] | None = None
) -> list[str]:
    """The records' texts, each altered by itself: the same record, seed and vocabulary give the same text.

    Args:
        variant: one of ``REQUIRED_VARIANTS`` or ``INFORMATIONAL_VARIANTS``.
        records: the chosen members.
        view: which text of a record is altered.
        seed: at least 0.
        vocabulary: the corpus' words (``vocabulary_of``); by default those of these records.

    Returns:
        At most one text a record: those that the alteration does not apply to are left out (no number in the text, no
        second word in the vocabulary, the prompt alone of a prompt).

    Raises:
        AuditkitError: no such variant.
    """
    if variant not in _ALTERATIONS:
        raise AuditkitError(f"no positive control is called {variant!r}", f"one of: {', '.join(_ALTERATIONS)}")
    if variant == "prompt_alone":
        return [record.prompt for record in records if view == "record" and record.response]
    texts = [record.view(view) for record in records]
    words = vocabulary_of(texts) if vocabulary is None else vocabulary
    altered = (_ALTERATIONS[variant](text, _random(seed, variant, text), words) for text in texts)
    return [text for text in altered if text]


def _random(seed: int, variant: str, text: str) -> np.random.Generator:
    """Of each text its own, so that no text's alteration depends on which others were chosen."""
    digest = hashlib.sha256(f"{seed}/{variant}/".encode() + text.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _verbatim(text: str, _random: np.random.Generator, _words: Sequence[str]) -> str:
    return text


def _numbers_changed(text: str, random: np.random.Generator, _words: Sequence[str]) -> str:
    """Each number becomes another of as many digits, without a leading zero; empty where there is none."""

    def other(match: re.Match[str]) -> str:
        number = match[0]
        lowest = 0 if len(number) == 1 else 1
        first = random.choice([digit for digit in range(lowest, 10) if digit != int(number[0])])
        return f"{first}" + "".join(str(digit) for digit in random.integers(0, 10, len(number) - 1))

    return _NUMBER.sub(other, text) if _NUMBER.search(text) else ""


def _words_replaced(text: str, random: np.random.Generator, words: Sequence[str]) -> str:
    """5 % of the words, at least one, become other words of the corpus."""
    found = list(_WORD.finditer(text))
    if not found or len(words) < 2:
        return ""
    replaced = random.choice(len(found), size=_share(len(found)), replace=False)
    for position in sorted(replaced, reverse=True):
        word = found[position]
        text = text[: word.start()] + _other_word(word[0], words, random) + text[word.end() :]
    return text


def _other_word(word: str, words: Sequence[str], random: np.random.Generator) -> str:
    drawn = int(random.integers(len(words)))
    return words[drawn] if words[drawn] != word else words[(drawn + 1) % len(words)]


def _cut_90(text: str, _random: np.random.Generator, _words: Sequence[str]) -> str:
    return text[: round(KEPT_SHARE * len(text))].rstrip()


def _characters_edited(text: str, random: np.random.Generator, _words: Sequence[str]) -> str:
    """5 % of the characters, at least one, are replaced, doubled by a neighbour, or dropped, a third each."""
    characters = list(text)
    if not characters:
        return ""
    for position in random.choice(len(characters), size=_share(len(characters)), replace=False):
        letter = _LETTERS[int(random.integers(len(_LETTERS)))]
        kept = characters[position]
        characters[position] = (letter, kept + letter, "")[int(random.integers(3))]
    return "".join(characters)


def _share(count: int) -> int:
    return max(1, round(REPLACED_SHARE * count))


_ALTERATIONS: dict[str, Callable[[str, np.random.Generator, Sequence[str]], str]] = {
    "verbatim": _verbatim,
    "numbers_changed": _numbers_changed,
    "words_replaced": _words_replaced,
    "cut_90": _cut_90,
    "characters_edited": _characters_edited,
    "prompt_alone": _verbatim,
}
