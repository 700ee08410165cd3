"""Text that somebody else wrote, made harmless in GitHub's and GitLab's Markdown, and still readable as plain text.

Backslashes are not enough: mentions (@name), references (#12, GH-12) and links are made of what the page shows after
Markdown was read. Only code spans keep them out. So a word that could be anything but a word becomes one.
"""

from __future__ import annotations

import re

from auditkit.report.safe_text import safe_line

# Letters, digits and punctuation that means nothing to Markdown, wherever it stands.
_PLAIN = re.compile(r"[^\W_]+(?:[-.,'’/–—%][^\W_]+)*|[≤≥<>=×±−–—→◆▲●○□…%·]|[-−+]?\d[\d,.]*")
# Plain to look at, and yet a link, a reference to an issue, a digest of a commit, or a list's number.
_ACTS = re.compile(r"www\.|[A-Z]+-\d+$|[0-9a-f]{7,40}$|\d+[.)]$", re.IGNORECASE)
_BEFORE, _BEHIND = "(“‘\"'", ")”’\"'.,;:?%"


def code(text: str, limit: int = 200, *, cell: bool = False) -> str:
    """A code span around a hostile name; a dash for an empty one. ``cell``: in a table, where a bar ends the cell.

    The bar is shown as a sign there: what a backslash before it does, renderers do not agree on.
    """
    shown = safe_line(text, limit).strip()
    if not shown:
        return "—"
    shown = shown.replace("|", "⟨U+007C⟩") if cell else shown
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    space = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{space}{shown}{space}{fence}"


def prose(text: str, limit: int = 500, *, cell: bool = False) -> str:
    """A sentence with every word that Markdown, or the page around it, could act upon in a code span."""
    return " ".join(_word(word, cell) for word in safe_line(text, limit).split())


def _word(word: str, cell: bool) -> str:
    inner = word.lstrip(_BEFORE).rstrip(_BEHIND)
    before = word[: len(word) - len(word.lstrip(_BEFORE))]
    behind = word[len(before) + len(inner) :]
    if not inner:
        return word if not set(word) - set(_BEFORE + _BEHIND) else code(word, cell=cell)
    if _PLAIN.fullmatch(inner) and not _ACTS.match(inner) and not _ACTS.match(inner + behind):
        return word.replace("<", "&lt;").replace(">", "&gt;")
    return f"{before}{code(inner, len(inner) + 1, cell=cell)}{behind}"
