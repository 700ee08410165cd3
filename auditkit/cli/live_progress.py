"""Progress on a terminal as bars, elsewhere as a status line every 30 seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from auditkit.auditing import progress
from auditkit.errors import visible

STATUS_SECONDS = 30.0


@contextmanager
def progress_for(*, quiet: bool, verbose: bool) -> Iterator[progress.Progress]:
    """What suits where we run: nothing, bars on stderr, or lines on stderr."""
    if quiet:
        yield progress.Silent()
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield TerminalProgress(bars)
    else:
        yield LineProgress(every=0.0 if verbose else STATUS_SECONDS)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )


@dataclass
class _Rate:
    """Work done since the stage began in this process."""

    started: float = field(default_factory=time.monotonic)
    tokens: int = 0
    done: int = 0

    def add(self, done: int, tokens: int) -> None:
        self.done += done
        self.tokens += tokens

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.started, 1e-9)

    def __str__(self) -> str:
        return f"{self.tokens / self.seconds:,.0f} tokens/s" if self.tokens else f"{self.done / self.seconds:,.0f}/s"


class TerminalProgress:
    """Bars."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars

    @contextmanager
    def _stage(self, name: str, total: int, done: int) -> Iterator[progress.Stage]:
        task = self.bars.add_task(name, total=total, completed=done, rate="")
        yield _BarStage(self.bars, task)
        self.bars.update(task, completed=total)

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[progress.Stage]:  # noqa: ARG002
        return self._stage(name, total, done)

    def note(self, text: str) -> None:
        self.bars.console.print(visible(text), markup=False, highlight=False)


class _BarStage:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self.bars, self.task, self.rate = bars, task, _Rate()

    def advance(self, done: int, tokens: int = 0) -> None:
        self.rate.add(done, tokens)
        self.bars.update(self.task, advance=done, rate=str(self.rate))


class LineProgress:
    """Lines, for logs."""

    def __init__(self, every: float) -> None:
        self.every = every

    @contextmanager
    def _stage(self, name: str, total: int, unit: str, done: int) -> Iterator[progress.Stage]:
        started = time.monotonic()
        self.note(f"{name}: {total:,} {unit}" + (f", {done:,} of them done before" if done else ""))
        yield _LineStage(self, name, total, unit, done)
        self.note(f"{name}: done in {time.monotonic() - started:.1f} s")

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[progress.Stage]:
        return self._stage(name, total, unit, done)

    def note(self, text: str) -> None:
        click.echo(visible(text), err=True)


class _LineStage:
    def __init__(self, listener: LineProgress, name: str, total: int, unit: str, done: int) -> None:
        self.listener, self.name, self.total, self.unit, self.done = listener, name, total, unit, done
        self.rate, self.told = _Rate(), time.monotonic()

    def advance(self, done: int, tokens: int = 0) -> None:
        self.rate.add(done, tokens)
        self.done += done
        if time.monotonic() - self.told >= self.listener.every and self.done < self.total:
            left = (self.total - self.done) * self.rate.seconds / max(self.rate.done, 1)
            self.listener.note(f"{self.name}: {self.done:,} of {self.total:,}, {self.rate}, about {left:.0f} s left")
            self.told = time.monotonic()
