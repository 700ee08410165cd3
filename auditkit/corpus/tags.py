"""The tags of a row: what its leaks are grouped by, and nothing that a page could not print."""

from __future__ import annotations

import sys
from typing import Any

from auditkit.corpus.chat import clean_text
from auditkit.corpus.unreadable import BadRowError

MOST_TAGS = 32  # of one record
LONGEST_TAG = 100  # characters


def read_tags(value: Any, field: str) -> tuple[str, ...]:
    """The tags in a field, normalised, each once and in order; null and an empty text or list are none.

    Raises:
        BadRowError: neither a text nor a list of texts, too many, too long, or with characters that cannot be seen.
    """
    given = value if isinstance(value, list) else [] if value in (None, "", b"") else [value]
    if len(given) > MOST_TAGS:
        raise BadRowError(f"more than {MOST_TAGS} tags in field {field!r}")
    return tuple(dict.fromkeys(_tag(tag, field) for tag in given))


def _tag(value: Any, field: str) -> str:
    tag = clean_text(value, field)
    if len(tag) > LONGEST_TAG:
        raise BadRowError(f"a tag of more than {LONGEST_TAG} characters in field {field!r}")
    if not tag.isprintable():
        raise BadRowError(f"control or invisible characters in a tag in field {field!r}")
    return sys.intern(tag)  # a million records have a handful of tags
