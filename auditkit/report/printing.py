"""How the templates print texts, so that they are harmless, whole where they can be, and break where they should."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from auditkit.report.safe_text import safe_text

MOST_IDS = 256  # token ids of a prefix
_AFTER_MARKS = re.compile(r"(?<=[_.-])(?=.)")
_LONG_WORD = re.compile(r"\S{25}")  # half of what a column of a pair holds


def finalised(value: Any) -> Any:
    """Every value that a template prints goes through here: text is made harmless, our own markup is left alone."""
    return value if isinstance(value, Markup) else safe_text(str(value))


def lines(text: str) -> Markup:
    """A text with its line breaks as elements: WeasyPrint breaks preserved ones in the wrong places."""
    return Markup("<br>").join(safe_text(text).split("\n"))


def has_long_words(text: str) -> bool:
    """Whether a line may have to break within a word to stay in its column."""
    return bool(_LONG_WORD.search(safe_text(text)))


def breakable(name: str) -> Markup:
    """A name that may break after its marks, for narrow columns."""
    return Markup("<wbr>").join(_AFTER_MARKS.split(safe_text(name)))


def ids(ids: list[int]) -> str:
    """The token ids of a prefix, the first MOST_IDS of them."""
    shown = " ".join(map(str, ids[:MOST_IDS]))
    return f"{shown} … {len(ids) - MOST_IDS:,} more" if len(ids) > MOST_IDS else shown


FINISHES = {
    "stop": "by the model's own end of turn",
    "length": "cut at the largest number of tokens",
    "empty": "empty",
    "failed": "failed",
    "blocked": "withheld by a filter, a refusal in its place",
}
TURNS = {"model": "made by the model", "appended": "appended by the attack", "none": "never reached"}
