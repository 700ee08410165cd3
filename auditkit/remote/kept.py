"""Answers of a service in a scratch file of the run: what was paid for is not asked for again when the run goes on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from auditkit.errors import RunError
from auditkit.files import FILE_MODE, storage_errors

BUSY_SECONDS = 60.0
TABLE = (
    "CREATE TABLE IF NOT EXISTS answers"
    " (part TEXT, asked TEXT, answer BLOB, process INTEGER, PRIMARY KEY (part, asked)) WITHOUT ROWID"
)


class Kept:
    """Answers by the part of the run that they are of, and a digest of what was asked.

    Only what an earlier process kept is given back: within one process whoever asks twice wants two answers. An answer
    is on the disk when ``put`` returns. Several threads may use it.

    Raises:
        RunError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storage_errors(path):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        with self._file() as file:
            file.execute(TABLE)
            (self._process,) = file.execute("SELECT COALESCE(MAX(process), 0) + 1 FROM answers").fetchone()

    def get(self, part: str, asked: str) -> bytes | None:
        """What an earlier process was answered."""
        told = "SELECT answer FROM answers WHERE part = ? AND asked = ? AND process < ?"
        with self._file() as file:
            found = file.execute(told, (part, asked, self._process)).fetchone()
        return found and bytes(found[0])

    def put(self, part: str, asked: str, answer: bytes) -> None:
        """Keep an answer."""
        with self._file() as file:
            file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", (part, asked, answer, self._process))

    def forget_but(self, *parts: str) -> None:
        """Let go of what other parts were answered: they are whole, and kept as what was made of them."""
        with self._file() as file:
            file.execute(f"DELETE FROM answers WHERE part NOT IN ({', '.join('?' * len(parts))})", parts)  # noqa: S608

    @contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as file, file:
                yield file
        except sqlite3.Error as error:
            raise RunError(
                f"{self._path} cannot be used: {error}",
                "free some disk space; a damaged file can be removed: what stands in it is then asked for again",
            ) from None
