"""Progress on a terminal as bars, elsewhere as a status line every 30 seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn
from rich.table import Column

from auditkit.auditing import progress
from auditkit.auditing.pace import Pace, humane
from auditkit.errors import visible

STATUS_SECONDS = 30.0
BAR_FROM = 100  # columns: on a narrower screen its place is worth more to the stage's name


@contextmanager
def progress_for(*, quiet: bool, verbose: bool) -> Iterator[progress.Progress]:
    """What suits where we run: nothing, bars on stderr, or lines on stderr."""
    if quiet:
        yield progress.Silent()
    elif sys.stderr.isatty():
        with _bars(Console(stderr=True)) as bars:
            yield TerminalProgress(bars)
    else:
        with LineProgress(at_once=verbose) as lines:
            yield lines


def _bars(console: Console) -> Progress:
    name = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    numbers = partial(Column, no_wrap=True, justify="right")
    columns = [TextColumn("{task.description}", markup=False, table_column=name)]
    if console.width >= BAR_FROM:
        columns.append(BarColumn(bar_width=20))  # type: ignore[arg-type]
    columns += [
        TextColumn(" {task.fields[" + field + "]}", table_column=numbers()) for field in ("far", "rate", "left")
    ]
    return _Live(*columns, console=console, expand=True)


class _Live(Progress):
    """Bars that are written anew from their pace each time that they are shown: time goes on while nothing advances."""

    def get_renderables(self) -> Iterator[object]:  # type: ignore[override]
        for task in self.tasks:
            task.fields.update(_fields(task))
        yield from super().get_renderables()


def _fields(task: Task) -> dict[str, str]:
    pace: Pace = task.fields["pace"]
    if pace.total == 1:
        return {"far": "", "rate": "", "left": humane(pace.seconds)}
    left = f"{humane(pace.left)} left" if pace.left is not None else ""
    return {"far": f"{pace.done:,} of {pace.total:,}", "rate": pace.rate, "left": left}


class TerminalProgress:
    """Bars for what is under way; what is finished becomes a line above them."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars

    @contextmanager
    def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[progress.Stage]:
        pace = Pace(total, done)
        task = self.bars.add_task(visible(name), total=total, completed=done, pace=pace, far="", rate="", left="")
        try:
            yield _BarStage(self.bars, task, pace)
        finally:
            self.bars.remove_task(task)
        if total != 1 or pace.seconds >= 1:
            self.note(_finished(name, pace, unit))

    def note(self, text: str) -> None:
        self.bars.console.print(visible(text), markup=False, highlight=False)


class _BarStage:
    def __init__(self, bars: Progress, task: TaskID, pace: Pace) -> None:
        self._bars, self._task, self._pace = bars, task, pace

    def advance(self, done: int, tokens: int = 0) -> None:
        self._pace.add(done, tokens)
        self._bars.update(self._task, completed=self._pace.done)


class LineProgress:
    """Lines, for logs: where a stage begins and ends, and every 30 seconds how far it is, whether or not it advanced.

    ``at_once``: at each step as well.
    """

    def __init__(self, *, at_once: bool = False, every: float = STATUS_SECONDS) -> None:
        self.at_once, self.every = at_once, every
        self._under_way: list[tuple[str, Pace]] = []
        self._told = time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._heart = threading.Thread(target=self._beat, name="status lines", daemon=True)

    def __enter__(self) -> LineProgress:
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._heart.join()

    @contextmanager
    def _stage(self, name: str, total: int, unit: str, done: int) -> Iterator[progress.Stage]:
        pace = Pace(total, done)
        if total != 1:
            self.note(f"{name}: {total:,} {unit}" + (f", {done:,} of them done before" if done else ""))
        with self._lock:
            self._under_way.append((name, pace))
        try:
            yield _LineStage(self, name, pace)
        finally:
            with self._lock:
                self._under_way.remove((name, pace))
        if total != 1 or pace.seconds >= self.every:
            self.note(_finished(name, pace, unit))

    def stage(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[progress.Stage]:
        return self._stage(name, total, unit, done)

    def note(self, text: str) -> None:
        self._told = time.monotonic()
        click.echo(visible(text), err=True)

    def _beat(self) -> None:
        """The stage that began last is the innermost."""
        while not self._over.wait(max(0.0, self._told + self.every - time.monotonic())):
            with self._lock:
                under_way = self._under_way[-1:]
            for name, pace in under_way:
                if time.monotonic() - self._told >= self.every:
                    self.note(f"{name}: {pace}")
            if time.monotonic() - self._told >= self.every:  # nothing is under way
                self._told = time.monotonic()


class _LineStage:
    def __init__(self, listener: LineProgress, name: str, pace: Pace) -> None:
        self._listener, self._name, self._pace = listener, name, pace

    def advance(self, done: int, tokens: int = 0) -> None:
        self._pace.add(done, tokens)
        if self._listener.at_once and self._pace.done < self._pace.total:
            self._listener.note(f"{self._name}: {self._pace}")


def _finished(name: str, pace: Pace, unit: str) -> str:
    rate = f", {pace.rate}" if pace.here and pace.seconds >= 1 and pace.total != 1 else ""
    many = f"{pace.total:,} {unit} " if pace.total != 1 else ""
    return f"{name}: {many}done in {_exactly(pace.seconds)}{rate}"


def _exactly(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else humane(seconds)
