"""Progress of a run: what the runner tells, and what listens. Never a word of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Stage(Protocol):
    """One stage under way."""

    def advance(self, done: int, tokens: int = 0) -> None:
        """``done`` more units are finished; ``tokens`` more were generated."""


class Progress(Protocol):
    """Somebody who wants to know how far a run is."""

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Stage]:
        """A stage begins with ``total`` units, of which ``done`` were finished by an earlier, interrupted run.

        A stage of one unit is one that nothing more can be said of: it is told of only where it takes long.
        """

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


@dataclass(frozen=True)
class Within:
    """Somebody who is told of stages as parts of a larger one: "arm 2 of 7: quantisation: attack template_prefix"."""

    listener: Progress
    whole: str

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Stage]:
        return self.listener.stage(f"{self.whole}: {name}", total, unit, done)

    def note(self, text: str) -> None:
        self.listener.note(text)


class _BothStages:
    def __init__(self, first: Stage, second: Stage) -> None:
        self._stages = first, second

    def advance(self, done: int, tokens: int = 0) -> None:
        for stage in self._stages:
            stage.advance(done, tokens)


@dataclass(frozen=True)
class Both:
    """Two who are told the same."""

    first: Progress
    second: Progress

    @contextmanager
    def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Stage]:
        with self.first.stage(name, total, unit, done) as one, self.second.stage(name, total, unit, done) as other:
            yield _BothStages(one, other)

    def note(self, text: str) -> None:
        self.first.note(text)
        self.second.note(text)


@contextmanager
def single(progress: Progress, name: str) -> Iterator[None]:
    """A stage of one unit."""
    with progress.stage(name, 1, "step") as stage:
        yield
        stage.advance(1)


def each(progress: Progress, name: str, unit: str, items: Sequence[Item]) -> Iterator[Item]:
    """The items one after the other, as a stage; each counts as finished when the next is asked for."""
    with progress.stage(name, len(items), unit) as stage:
        for item in items:
            yield item
            stage.advance(1)
