"""What the page may do, said by the page itself: its own style sheet and its own script, each by digest; no more."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from markupsafe import Markup

_NOTHING = ("default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'")
_NO_TEXT_AS_CODE = ("require-trusted-types-for 'script'", "trusted-types 'none'")  # innerHTML and its kin throw


def content_policy(style: str, script: str) -> Markup:
    """The Content-Security-Policy of a page with this one style sheet and this one script, for its ``<meta>``.

    Both digests are of the elements' text to the letter: a report, or a mail gateway, that adds a script or a style
    to the page adds one that the browser refuses to run.
    """
    sources = (f"script-src {_digest(script)}", f"style-src {_digest(style)}")
    return Markup("; ".join((*_NOTHING, *sources, *_NO_TEXT_AS_CODE)))  # noqa: S704 - our own words and digests


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
