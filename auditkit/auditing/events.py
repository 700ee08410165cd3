"""events.jsonl: what happened in a run, each line chained to the one before by its digest.

No text of records or generations ever stands in it.
"""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditkit.files import FILE_MODE, storage_errors
from auditkit.signing.event_chain import GENESIS, line_digest


def now() -> str:
    """The present in UTC, to the millisecond, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_whole(descriptor: int, content: bytes) -> None:
    """All of it or nothing: what a disk that runs full took of a line would be followed by the next one."""
    before = os.fstat(descriptor).st_size
    if os.write(descriptor, content) < len(content):
        os.ftruncate(descriptor, before)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class EventLog:
    """Appends events; a line torn by a crash is dropped when the log is opened again, and the drop is recorded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        torn = self._drop_torn_line()
        self._previous = self._last_digest()
        if torn:
            self.append("torn_line_dropped", bytes=torn)

    def append(self, event: str, **facts: Any) -> None:
        """Write one event and sync it to disk."""
        line = json.dumps({"time": now(), "event": event, **facts, "prev": self._previous}, sort_keys=True).encode()
        with storage_errors(self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
            try:
                _write_whole(descriptor, line + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._previous = line_digest(line)

    @property
    def head(self) -> str:
        """The digest of the last line, which the next one will carry."""
        return self._previous

    def count(self, event: str) -> int:
        """How often this event was recorded."""
        return len(self.recorded(event))

    def recorded(self, event: str) -> list[dict[str, Any]]:
        """The facts of every event of this name, in order."""
        return [found for line in self._lines() if (found := json.loads(line))["event"] == event]

    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines() if self.path.exists() else []

    def _last_digest(self) -> str:
        lines = self._lines()
        return line_digest(lines[-1]) if lines else GENESIS

    def _drop_torn_line(self) -> int:
        """Cut what follows the last newline; the number of bytes cut."""
        if not self.path.exists():
            return 0
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with storage_errors(self.path), self.path.open("r+b") as stream:
                stream.truncate(len(whole))
        return len(content) - len(whole)
