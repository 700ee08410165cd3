"""Problems at the line of the policy where their cause stands."""

from __future__ import annotations

from collections.abc import Iterator

from auditkit.errors import AuditkitError, Problem
from auditkit.policy.schema import Policy


def problem_at(policy: Policy, path: str, error: AuditkitError) -> Problem:
    """A problem at the line of the policy where its cause stands, or the nearest section above."""
    return Problem(policy.source.file, next(_lines(policy, path), None), error.message, error.hint)


def _lines(policy: Policy, path: str) -> Iterator[int]:
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        line = policy.source.lines.get(".".join(parts[:length]))
        if line:
            yield line
