"""What each header cell of a table heads, written into the templates as they are loaded, so that none is forgotten."""

from __future__ import annotations

import re

from jinja2.ext import Extension

_HEAD = re.compile(r"<thead\b.*?</thead>", re.DOTALL)
_UNSCOPED = re.compile(r"<th(?=[\s>{])(?![^>]*\sscope=)")


class HeaderScopes(Extension):
    """``<th>`` without a scope: a column's inside ``<thead>``, a row's anywhere else."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """The template's own text with every scope in it. Nothing of a report is touched."""
        heads = _HEAD.sub(lambda head: _UNSCOPED.sub('<th scope="col"', head[0]), source)
        return _UNSCOPED.sub('<th scope="row"', heads)
