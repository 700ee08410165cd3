"""reports/ledger.jsonl: every run that was begun in a folder and how it ended, each line chained to the one before.

It holds digests, Merkle roots and run ids: no text, no path. A local ledger cannot know of runs made elsewhere, nor of
a ledger that was deleted with its runs: the report says so.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auditkit import strict_json
from auditkit.auditing.events import EventLog
from auditkit.errors import RunError
from auditkit.files import FILE_MODE, make_folder, storage_errors
from auditkit.signing.event_chain import LINE_LIMIT, check_chain, line_digest

FILE_NAME = "ledger.jsonl"
SIZE_LIMIT = 256 << 20
BEGIN, RESUMED, END = "started", "resumed", "ended"


class Entry(BaseModel):
    """One line. ``models``: role -> digest; ``datasets``: name -> Merkle root; ``outcome``: of an "ended" line."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    time: str = Field(max_length=40)
    event: str = Field(max_length=40)
    run: str = Field(default="", max_length=300)
    models: dict[str, str] = {}
    datasets: dict[str, str] = {}
    policy_sha256: str = Field(default="", max_length=64)
    outcome: str = Field(default="", max_length=40)


@dataclass(frozen=True)
class Contents:
    """A ledger as read: its entries in order, the digest of every line, and what is wrong with its chain."""

    entries: tuple[Entry, ...] = ()
    digests: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """The digest of the last line; "" for an empty ledger."""
        return self.digests[-1] if self.digests else ""


@dataclass(frozen=True)
class Ledger:
    """The ledger of the folder that runs are written to."""

    path: Path

    @classmethod
    def of(cls, reports: Path) -> Ledger:
        """The ledger that stands in this folder."""
        return cls(reports / FILE_NAME)

    def append(self, event: str, **facts: Any) -> str:
        """Add a line, synced to disk; its digest. Concurrent runs wait for each other.

        Raises:
            RunError: it cannot be written, or is a link or no plain file.
        """
        make_folder(self.path.parent)
        with self._held(os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX):
            log = EventLog(self.path)
            log.append(event, **facts)
            return log.head

    def read(self) -> Contents:
        """Everything that it says, whatever was done to it; a last line torn by a crash says nothing.

        Raises:
            RunError: it is there, but cannot be read.
        """
        if not self.path.exists():
            return Contents()
        with self._held(os.O_RDONLY, fcntl.LOCK_SH):
            if self.path.stat().st_size > SIZE_LIMIT:
                return Contents(problems=(f"it is longer than {SIZE_LIMIT:,} bytes",))
            lines = self.path.read_bytes().splitlines(keepends=True)
            problems = check_chain(self.path, closed=False)
        if lines and len(lines[-1]) <= LINE_LIMIT and not lines[-1].endswith(b"\n"):
            lines, problems = lines[:-1], problems[:-1]  # the next run drops it, as every log's
        entries = (entry for line in lines if (entry := _entry(line)))
        return Contents(tuple(entries), tuple(line_digest(line) for line in lines), tuple(problems))

    @contextmanager
    def _held(self, access: int, lock: int) -> Iterator[None]:
        """The file, locked against other processes."""
        with storage_errors(self.path):
            descriptor = os.open(self.path, access | os.O_NOFOLLOW | os.O_NONBLOCK, FILE_MODE)
        try:
            if not self.path.is_file():
                raise RunError(f"{self.path} is no plain file", "remove it: a new ledger is begun")
            fcntl.flock(descriptor, lock)
            yield
        finally:
            os.close(descriptor)


def _entry(line: bytes) -> Entry | None:
    if len(line) > LINE_LIMIT:
        return None
    try:
        return Entry.model_validate(strict_json.parse(line))
    except (ValidationError, ValueError):
        return None
