"""Which way a text runs: by its first letter that says so, as browsers decide it for dir="auto"."""

from __future__ import annotations

import unicodedata
from typing import Literal

from auditkit.report.differences import Marked

_RIGHT_TO_LEFT = frozenset({"R", "AL"})


def direction(text: str) -> Literal["ltr", "rtl"]:
    """The direction of the first strong letter; "ltr" where there is none."""
    classes = (unicodedata.bidirectional(character) for character in text)
    strong = next((found for found in classes if found == "L" or found in _RIGHT_TO_LEFT), "L")
    return "rtl" if strong in _RIGHT_TO_LEFT else "ltr"


def text_of(marked: Marked) -> str:
    """The text of all pieces."""
    return "".join(piece.text for piece in marked.pieces)


def runs_right_to_left(marked: Marked) -> bool:
    """Whether any letter runs right to left: cut into pieces, such a text is laid out on paper in the wrong order."""
    text = text_of(marked)
    return not text.isascii() and any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in text)
