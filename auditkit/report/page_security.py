"""What the page may do, said by the page itself: its own style sheet and its own script, each by digest; no more."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from markupsafe import Markup

from auditkit.report.safe_text import safe_line

_NOTHING = ("default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'")
_NO_TEXT_AS_CODE = ("require-trusted-types-for 'script'", "trusted-types 'none'")  # innerHTML and its kin throw


def content_policy(style: str, script: str = "") -> Markup:
    """The Content-Security-Policy of a page with this one style sheet and one script or none, for its ``<meta>``.

    Both digests are of the elements' text to the letter: a report, or a mail gateway, that adds a script or a style
    to the page adds one that the browser refuses to run.
    """
    sources = ("script-src " + (_digest(script) if script else "'none'"), f"style-src {_digest(style)}")
    return Markup("; ".join((*_NOTHING, *sources, *_NO_TEXT_AS_CODE)))  # noqa: S704 - our own words and digests


def page_margin(labels: Sequence[str]) -> Markup:
    """A style sheet that prints the labels ("CONFIDENTIAL") and the number at the edge of every page.

    Labels may be anything: each character but plain letters and digits is escaped, so that none ends string or element.
    """
    marks = "".join(_escaped(character) for character in safe_line("  ".join(labels)))
    look = "font: 700 8pt sans-serif; letter-spacing: 0.08em"
    number = 'content: "Page " counter(page) " of " counter(pages); font: 8pt sans-serif'
    return Markup(f'@page {{ @top-right {{ content: "{marks}"; {look} }} @bottom-right {{ {number} }} }}\n')  # noqa: S704


def _escaped(character: str) -> str:
    return character if character.isascii() and character.isalnum() else f"\\{ord(character):x} "


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
