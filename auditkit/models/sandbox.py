"""Runs code over hostile input in a child process with bounded time, memory and output, and no way to files.

The child is an isolated interpreter with an empty environment. Its limits are set before it sees the input; it is
killed, with whatever it started, at the latest when the clock runs out.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

Failure = Literal["time", "memory", "recursion", "output", "crash", "refused", "start"]

CHILD = Path(__file__).with_name("sandbox_child.py")
TICK = 0.1  # seconds between looks at the clock
MOST_PATIENCE = 10  # times the wall-clock limit that a child is let wait for a processor
START_SECONDS = 60.0  # the interpreter's own start on a machine that is busy; the input has not been read by then


@dataclass(frozen=True)
class Limits:
    """What one job may use: processor and wall-clock seconds, bytes of address space, bytes of answer."""

    seconds: int = 2
    memory: int = 512 * 2**20
    output: int = 32 * 2**20

    def sentence(self, failure: Failure) -> str:
        """What went wrong, to follow the name of the thing that was read."""
        return {
            "time": f"takes longer than {self.seconds} s",
            "memory": f"needs more than {self.memory // 2**20} MB of memory",
            "recursion": "is nested too deeply",
            "output": "produces too much text",
            "crash": "makes the process that reads it crash",
            "refused": "is refused",
            "start": "cannot be read: the sandbox process does not start",
        }[failure]


class SandboxError(Exception):
    """The job was not answered: in which way, and with which reason of the worker's own."""

    def __init__(self, failure: Failure, reason: str = "") -> None:
        super().__init__(failure, reason)
        self.failure = failure
        self.reason = reason


def run_confined(
    worker: Path, job: Any, *, limits: Limits | None = None, folders: Sequence[Path] = (), files: Sequence[int] = ()
) -> Any:
    """The answer of ``worker``'s ``work(job)``, run in the sandbox.

    Args:
        worker: a Python file that needs only the standard library and ``folders``.
        job: what JSON can hold. The answer comes back the same way.
        limits: see `Limits`.
        folders: further import folders.
        files: file descriptors that the child may read, at their own numbers.

    Raises:
        SandboxError: the worker refused the job, or a limit was met.
    """
    limits = limits or Limits()
    bounds = json.dumps({"seconds": limits.seconds, "memory": limits.memory})
    command = [sys.executable, "-I", str(CHILD), str(worker), bounds, *map(str, folders)]
    with _child(command, files) as child:
        assert child.stdin is not None and child.stdout is not None
        _await_ready(child.stdout)
        exchange = _Exchange(json.dumps(job).encode(), limits.output)
        clock = _Clock(child.pid, limits.seconds)
        while not exchange.step(child.stdin, child.stdout):
            if clock.is_up():
                raise SandboxError("time")
        return _unpack(exchange.answer, _status(child))


@contextlib.contextmanager
def _child(command: list[str], files: Sequence[int]) -> Iterator[subprocess.Popen[bytes]]:
    """The child, in a process group of its own that is killed on the way out, however that goes."""
    try:
        child = subprocess.Popen(  # noqa: S603 - our own program, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={},
            cwd="/",
            pass_fds=files,
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError("start", str(error)) from None
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _await_ready(stdout: IO[bytes]) -> None:
    """Wait until the child has its limits; the input goes to it only then."""
    line, deadline = b"", time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while line != b"ready\n":
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise SandboxError("start", f"no answer within {START_SECONDS:.0f} s")
            byte = os.read(stdout.fileno(), 1)
            if not byte or len(line) > 16:
                raise SandboxError("start", f"{sys.executable} cannot run {CHILD.name}")
            line += byte


class _Clock:
    """The wall clock, which stands still for a child that only waits for the processor.

    The kernel holds the child to its processor time; on a busy machine that can take longer than the wall clock says,
    and an honest template would be called hostile. A child that sleeps is not waiting, and has no such excuse.
    """

    def __init__(self, pid: int, seconds: float) -> None:
        self.stat = Path(f"/proc/{pid}/stat")
        self.seconds = seconds
        self.start = time.monotonic()

    def is_up(self) -> bool:
        """Whether the child has had its time."""
        elapsed = time.monotonic() - self.start
        return elapsed >= self.seconds and (elapsed >= MOST_PATIENCE * self.seconds or not self._is_starved())

    def _is_starved(self) -> bool:
        try:
            fields = self.stat.read_text().rpartition(")")[2].split()
        except OSError:  # gone, or a system without /proc
            return False
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return fields[0] == "R" and used < self.seconds


class _Exchange:
    """Feeds the job and collects the answer at once, so that neither side can block the other."""

    def __init__(self, job: bytes, most: int) -> None:
        self.left = memoryview(job)
        self.answer = bytearray()
        self.most = most

    def step(self, stdin: IO[bytes], stdout: IO[bytes]) -> bool:
        """Move what can be moved within a moment; whether the child has closed its end."""
        with selectors.DefaultSelector() as selector:
            if self.left:
                os.set_blocking(stdin.fileno(), False)
                selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(stdout, selectors.EVENT_READ)
            for key, _ in selector.select(TICK):
                if key.fileobj is stdin:
                    self._feed(stdin)
                elif not self._collect(stdout):
                    return True
        return False

    def _feed(self, stdin: IO[bytes]) -> None:
        try:
            self.left = self.left[os.write(stdin.fileno(), self.left[:65536]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the child died; its silence on stdout says so in a moment
            self.left = self.left[:0]
        if not self.left:
            stdin.close()

    def _collect(self, stdout: IO[bytes]) -> bool:
        chunk = os.read(stdout.fileno(), 65536)
        self.answer += chunk
        if len(self.answer) > self.most:
            raise SandboxError("output")
        return bool(chunk)


def _status(child: subprocess.Popen[bytes]) -> int:
    """The exit status of a child that has closed its output, and so should be gone in a moment."""
    try:
        return child.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        raise SandboxError("time") from None


def _unpack(answer: bytearray, status: int) -> Any:
    """The result in the child's answer, or why there is none."""
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        raise SandboxError("time")
    try:
        message = json.loads(answer)
    except (ValueError, RecursionError):
        raise SandboxError("crash", f"exit status {status}") from None
    if "failure" in message:
        raise SandboxError(message["failure"], message.get("reason", ""))
    return message["result"]


def printable(text: str, most: int = 300) -> str:
    """Hostile text made fit for an error message: one line, no control characters, cut."""
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[: most + 1])
    return shown if len(shown) <= most else shown[:most] + "…"
