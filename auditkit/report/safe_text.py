"""Hostile text made harmless to look at: what cannot be seen, or would act, is shown as a visible sign.

Model output and records reach HTML, PDF, the terminal, SARIF and JUnit only through here. Markup is escaped by
the format that writes it; this module is about the characters themselves.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

LONGEST = 20_000  # characters, where the caller says nothing
LONGEST_LINE = 300

# Format characters (category Cf) that are visible letters in their scripts, not invisible controls.
_VISIBLE_FORMATS = frozenset({*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD})
# Neither controls nor formats by category, yet blank or able to end a line.
_BLANKS = frozenset({0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2028, 0x2029, 0x2800, 0x3164, 0xFFA0})
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_MARK_FLOOD = re.compile(f"([{_MARKS}]{{4}})[{_MARKS}]+")


# Names rather than the control pictures (␛): hardly any font has those, and a box says nothing.
_C0 = [
    *("NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "TAB", "LF", "VT", "FF", "CR", "SO", "SI", "DLE"),
    *("DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US"),
]


class _Signs(dict[int, str]):
    """A translation table that works a character out the first time it is met."""

    def __missing__(self, code: int) -> str:
        self[code] = sign = _sign(code)
        return sign


def _sign(code: int) -> str:
    """How one character is shown."""
    if code in (0x09, 0x0A):
        return chr(code)
    if code < 0x20:
        return f"⟨{_C0[code]}⟩"
    if code == 0x7F:
        return "⟨DEL⟩"
    return f"⟨U+{code:04X}⟩" if _is_unseen(code) else chr(code)


def _is_unseen(code: int) -> bool:
    """Controls, bidi overrides, zero-width characters, surrogates, noncharacters, tags and variation selectors."""
    if code in _BLANKS or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return True
    if 0xE0000 <= code <= 0xE0FFF or 0x180B <= code <= 0x180F:
        return True
    return unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs") and code not in _VISIBLE_FORMATS


_SIGNS = _Signs()


def cut(text: str, limit: int, lines: int | None = None) -> tuple[str, int]:
    """The first ``limit`` characters and ``lines`` lines of a text, and how many characters were left out."""
    kept = text[:limit]
    if lines is not None:
        kept = "\n".join(kept.split("\n", lines)[:lines])
    return kept, len(text) - len(kept)


def left_out(count: int) -> str:
    """The words that stand where a text was cut."""
    return f"… {count:,} character{'' if count == 1 else 's'} left out"


def visible(text: str) -> str:
    """The text with every unseen character shown; new lines and tabs stay. Any length, any code points."""
    shown = text.replace("\r\n", "\n").translate(_SIGNS)
    return _MARK_FLOOD.sub(lambda flood: f"{flood[1]}⟨+{len(flood[0]) - 4} marks⟩", shown)


def safe_text(text: str, limit: int = LONGEST) -> str:
    """A text of several lines, shown as it is and bounded: "… N characters left out" says where it was cut."""
    kept, rest = cut(text, limit)
    return f"{visible(kept)} {left_out(rest)}" if rest else visible(kept)


def safe_line(text: str, limit: int = LONGEST_LINE) -> str:
    """The same on one line, for names, headings and messages: new lines and tabs are shown as ⟨LF⟩ and ⟨TAB⟩."""
    return safe_text(text, limit).replace("\n", "⟨LF⟩").replace("\t", "⟨TAB⟩")


def safe_literal(text: str, limit: int = LONGEST) -> str:
    """A literal such as an attack prefix: new lines are shown *and* break the line, so that nothing is guessed."""
    return safe_text(text, limit).replace("\t", "⟨TAB⟩").replace("\n", "↵\n")


def safe_tree(value: Any, limit: int = LONGEST) -> Any:
    """A value made for JSON with each text in it shown as ``safe_text`` does: keys, which are ours, stay."""
    if isinstance(value, str):
        return safe_text(value, limit)
    if isinstance(value, dict):
        return {key: safe_tree(item, limit) for key, item in value.items()}
    return [safe_tree(item, limit) for item in value] if isinstance(value, list) else value
