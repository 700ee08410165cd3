"""Two locked policies, leaf by leaf: what is not the same, and no text or digest of the data in the telling."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auditkit.report.redaction import LITERAL_NAMES

ABSENT = "–"
_MOST = 5000  # leaves of one policy
# Told elsewhere, in the words of the report; or a name, a place, a digest of the data.
_LEFT_OUT = ("attacks", "datasets", "models", "locked", "report", "name", "version", "extends")
_WORD = re.compile(r"[A-Za-z0-9_.:/@*+-]{0,60}")  # a kind, a number, a name: no literal text


def differing_leaves(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Dotted path -> (before, after) of every value that is not the same; lists by place, counted from 0."""
    mine, theirs = (dict(_leaves(policy)) for policy in (before, after))
    if not mine or not theirs:  # one of them could not be read: nothing is known to differ
        return {}
    paths = [*mine, *(path for path in theirs if path not in mine)]
    return {
        path: (_shown(path, mine), _shown(path, theirs))
        for path in paths
        if mine.get(path, ABSENT) != theirs.get(path, ABSENT)
    }


def _leaves(policy: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    count = 0
    waiting = [(str(name), value) for name, value in policy.items() if name not in _LEFT_OUT]
    while waiting and count < _MOST:
        path, value = waiting.pop(0)
        if isinstance(value, Mapping):
            waiting[:0] = [(f"{path}.{name}", item) for name, item in value.items()]
        elif isinstance(value, list):
            waiting[:0] = [(f"{path}.{place}", item) for place, item in enumerate(value)]
        else:
            count += 1
            yield path, value


def shown_value(name: str, value: Any) -> str:
    """A value of the policy as a word; literal text by its length alone, since it may quote the data."""
    if isinstance(value, str) and (LITERAL_NAMES.search(name) or not _WORD.fullmatch(value)):
        return f"{len(value):,} characters"
    if isinstance(value, Mapping | list):
        return f"{len(value):,} entries"
    return "none" if value is None else str(value)


def _shown(path: str, leaves: Mapping[str, Any]) -> str:
    return shown_value(path, leaves[path]) if path in leaves else ABSENT
