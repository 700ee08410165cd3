"""PDFs laid out side by side, each in a process of its own: a page goes in, a PDF or an error comes out."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from auditkit.errors import AuditkitError

AT_ONCE = 2  # each takes memory for all of its pages

_CHILD = "import sys; sys.path[:] = sys.argv[2:]; from auditkit.report.paper_processes import main; main(sys.argv[1])"


@dataclass(frozen=True, slots=True)
class Sheets:
    """One PDF to be made: its name, what lays it out, and how to get what the layout takes."""

    name: str
    layout: Literal["paper_layout", "annex_layout"]
    content: Callable[[], str]


def laid_out(wanted: Sequence[Sheets]) -> list[tuple[str, bytes]]:
    """Name and content of each PDF, in this order. Whatever happens, no process is left.

    Raises:
        AuditkitError: one could not be laid out; the message holds no word of its pages.
    """
    with ExitStack() as processes:
        return list(_in_turn(wanted, processes))


def _in_turn(wanted: Sequence[Sheets], processes: ExitStack) -> Iterator[tuple[str, bytes]]:
    """The next page is made ready while those before it are being laid out."""
    running: deque[tuple[subprocess.Popen[bytes], str]] = deque()
    for sheets in wanted:
        if len(running) == AT_ONCE:
            yield _take(*running.popleft())
        child = processes.enter_context(_layout(sheets.layout))
        running.append((child, sheets.name))
        _give(child, sheets.content())
    yield from (_take(*one) for one in running)


@contextmanager
def _layout(module: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for a page. The page and its PDF go through pipes: no copy of a text is left on disk."""
    command = [sys.executable, "-c", _CHILD, module, *sys.path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as child:  # noqa: S603 - our own module
        try:
            yield child
        finally:
            child.kill()  # nothing, where it is done


def _give(child: subprocess.Popen[bytes], page: str) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(page.encode())
        child.stdin.close()
    except BrokenPipeError:  # it ended early; why is told when its answer is read
        pass
    child.stdin = None  # closed for good: communicate would flush it


def _take(child: subprocess.Popen[bytes], name: str) -> tuple[str, bytes]:
    content, said = child.communicate()
    if child.returncode != 0 or not content:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        reason = last[0] if last else f"its process ended with {child.returncode}"
        raise AuditkitError(f"{name} could not be laid out: {reason}", "free some memory, or leave pdf out")
    return name, content


def main(layout: str) -> None:
    """A page on stdin, its PDF on stdout. What goes wrong is told on stderr in a line without a word of the page."""
    try:
        content = import_module(f"auditkit.report.{layout}").lay_out(sys.stdin.buffer.read().decode())
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        sys.stderr.write(f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}")
        sys.exit(1)
    sys.stdout.buffer.write(content)
