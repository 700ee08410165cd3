"""Progress of a run: what the runner tells, and what listens. Never a word of the data."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Stage(Protocol):
    """One stage under way."""

    def advance(self, done: int, tokens: int = 0) -> None:
        """``done`` more units are finished; ``tokens`` more were generated."""


class Progress(Protocol):
    """Somebody who wants to know how far a run is."""

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Stage]:
        """A stage begins with ``total`` units, of which ``done`` were finished by an earlier, interrupted run."""

    def note(self, text: str) -> None:
        """A line for the user."""


class _SilentStage:
    def advance(self, done: int, tokens: int = 0) -> None:
        pass


class Silent:
    """Nobody listens."""

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Stage]:  # noqa: ARG002
        return nullcontext(_SilentStage())

    def note(self, text: str) -> None:
        pass
