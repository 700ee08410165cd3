"""events.jsonl: what happened in a run, each line chained to the one before by its digest.

No text of records or generations ever stands in it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from auditkit.files import FILE_MODE, storage_errors
from auditkit.signing.event_chain import GENESIS, line_digest

END_BYTES = 1 << 16  # of a log are read where only its end is asked for; more where a line is longer


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
        self._one_at_a_time = Lock()
        torn = self._drop_torn_line()
        self._previous = self._last_digest()
        if torn:
            self.append("torn_line_dropped", bytes=torn)

    def append(self, event: str, **facts: Any) -> None:
        """Write one event and sync it to disk."""
        with self._one_at_a_time, storage_errors(self.path):
            line = json.dumps({"time": now(), "event": event, **facts, "prev": self._previous}, sort_keys=True).encode()
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
            try:
                _write_whole(descriptor, line + b"\n")
                self._previous = line_digest(line)  # at once: whatever interrupts the wait below, the line stands
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @property
    def head(self) -> str:
        """The digest of the last line, which the next one will carry."""
        return self._previous

    def count(self, event: str) -> int:
        """How often this event was recorded."""
        return len(self.recorded(event))

    def recorded(self, event: str) -> list[dict[str, Any]]:
        """The facts of every event of this name, in order. Lines of others are passed over unparsed."""
        named = f'"event": {json.dumps(event)}'.encode()
        return [found for line in self._lines() if named in line and (found := json.loads(line))["event"] == event]

    def _lines(self) -> Iterator[bytes]:
        if self.path.exists():
            with self.path.open("rb") as stream:
                yield from stream

    def _last_digest(self) -> str:
        last = self._end()[:-1].rpartition(b"\n")[2]
        return line_digest(last) if last else GENESIS

    def _drop_torn_line(self) -> int:
        """Cut what follows the last newline; the number of bytes cut."""
        end = self._end()
        torn = len(end) - end.rfind(b"\n") - 1
        if torn:
            with storage_errors(self.path), self.path.open("r+b") as stream:
                stream.truncate(self.path.stat().st_size - torn)
        return torn

    def _end(self) -> bytes:
        """The last bytes of the log, with a whole line among them where there is one."""
        size = self.path.stat().st_size if self.path.exists() else 0
        length = min(size, END_BYTES)
        while size:
            with self.path.open("rb") as stream:
                stream.seek(size - length)
                found = stream.read(length)
            if length == size or found.count(b"\n") >= 2:
                return found
            length = min(size, 2 * length)
        return b""
