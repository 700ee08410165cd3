"""A figure as it stands in a page: ink from the style sheet, no style attribute, a title and a description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from markupsafe import Markup, escape

from auditkit.report.svg import FAIL, FIRST, INK, MUTED, PAPER, PASS, RULE, SECOND, UNSURE

# By name, so that dark mode can turn them over.
COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    FAIL: "var(--fail)",
    PASS: "var(--pass)",
    UNSURE: "var(--unsure)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}
_TAG = re.compile(r"<[A-Za-z][^<>]*>")  # matplotlib escapes both brackets in labels and attributes
_STYLE = re.compile(r'\sstyle="([^"]*)"')
_LABEL = re.compile(r'aria-label="[^"]*"')
_FONT = re.compile(r"(?:(italic|oblique) )?(?:(bold|\d+) )?([\d.]+px) (.+)")  # in one, as older matplotlibs have it


def for_screen(svg: Markup, name: str, title: str, description: str) -> Markup:
    """The same figure for a page whose security policy forbids style attributes; ``name`` begins the ids it adds."""
    plain = _TAG.sub(lambda tag: _STYLE.sub(_attributes, tag[0]), str(svg))
    told = f'aria-labelledby="{name}-title" aria-describedby="{name}-desc"'
    head = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    opening, rest = plain.split(">", 1)
    return Markup(f"{_LABEL.sub(told, opening, count=1)}>{head}{rest}")  # noqa: S704 - matplotlib escaped every label


def _attributes(style: re.Match[str]) -> str:
    """A style attribute as the presentation attributes that say the same."""
    pairs = (declaration.split(":", 1) for declaration in unescape(style[1]).split(";") if ":" in declaration)
    said = (attribute for name, value in pairs for attribute in _presentation(name.strip(), value.strip()))
    return "".join(f' {name}="{escape(value)}"' for name, value in said)


def _presentation(name: str, value: str) -> Iterator[tuple[str, str]]:
    font = _FONT.fullmatch(value) if name == "font" else None
    if font is None:
        yield name, COLOURS.get(value, value)
        return
    names = ("font-style", "font-weight", "font-size", "font-family")
    yield from ((part, said) for part, said in zip(names, font.groups(), strict=True) if said)
