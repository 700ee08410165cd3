"""The one normal form of text: the same for records and generations, so that equal texts compare equal."""

from __future__ import annotations

from unicodedata import combining, normalize

# Canonical ordering of combining marks takes quadratic time; Unicode's stream-safe format allows 30 in a row.
MAX_MARKS_IN_A_ROW = 1000
# These count as no combining mark themselves, but decompose into nothing else.
_HIDDEN_MARKS = frozenset("\u0f73\u0f75\u0f81")


def normalise(text: str) -> str:
    """Unicode NFC with the outer white space trimmed, and nothing else (METRICS.md, Text and boundaries)."""
    return text.strip() if text.isascii() else normalize("NFC", text).strip()


def flaw(text: str) -> str | None:
    """Why this text cannot be part of a record, or None: what no tokenizer, digest or report could carry."""
    if "\0" in text:
        return "NUL character"
    if text.isascii():
        return None
    if _has_lone_surrogate(text):
        return "lone surrogate"
    if _has_mark_bomb(text):
        return f"more than {MAX_MARKS_IN_A_ROW:,} combining marks in a row"
    return None


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _has_mark_bomb(text: str) -> bool:
    # A run that is too long covers one of every MAX_MARKS_IN_A_ROW characters: most texts need no closer look.
    if not any(map(_is_mark, text[::MAX_MARKS_IN_A_ROW])):
        return False
    run = 0
    for character in text:
        run = run + 1 if _is_mark(character) else 0
        if run > MAX_MARKS_IN_A_ROW:
            return True
    return False


def _is_mark(character: str) -> bool:
    return combining(character) > 0 or character in _HIDDEN_MARKS
