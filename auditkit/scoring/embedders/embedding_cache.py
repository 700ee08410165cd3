"""Vectors on disk by the text that they belong to: what was embedded once is not embedded, or paid for, again."""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from auditkit.errors import AuditkitError, RunError
from auditkit.files import FILE_MODE, make_folder
from auditkit.scoring.base import Vectors

FORMAT = 1
KEY_BYTES = 16
KEYS_A_QUERY = 4096  # SQLite takes 32,766 parameters
PAGE_BYTES = 8192  # a fifth smaller and faster than 4,096 for 384 numbers a vector
PAGES_KIB = 65_536  # of pages that are kept in memory: the keys of a million texts, more or less
BUSY_SECONDS = 60.0  # that another audit may hold the file: it does for one batch at a time

MALFORMED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Found = TypeVar("Found")


def _unheard(_: str) -> None:
    """Nobody wants to know."""


class CacheUnusableError(AuditkitError):
    """The cache's file is locked, read-only or no file, or its disk is full. The audit can go on without it."""


class EmbeddingCache:
    """The vectors of one embedder, one file a digest. Several processes may use a file at once.

    Keys and check sums are keyed with the project's secret and the embedder's digest. So a key is no oracle for
    texts, and a vector that was damaged, tampered with, or written under another secret or embedder counts as absent.
    The vectors themselves are as sensitive as the texts: much of a text can be reconstructed from its embedding
    [Morris et al. 2023, "Text Embeddings Reveal (Almost) As Much As Text"].

    A file that is malformed is moved aside, ``note`` is told so, and another is begun: what can still be read of it is
    there for whoever wants to mend it.

    A rollback journal with full synchronisation, not WAL: a batch is on the disk when ``put`` returns, on network file
    systems too, and nothing but the one file is left behind.
    """

    def __init__(self, path: Path, secret: bytes, digest: str, note: Callable[[str], None] = _unheard) -> None:
        self.path, self._note = path, note
        self._secret = hmac.digest(secret, b"embedding cache\0" + digest.encode(), "sha256")
        with self._usable():
            make_folder(path.parent)
            self._open()
            self._mending(self._prepare)

    @classmethod
    def in_folder(cls, folder: Path, secret: bytes, digest: str, note: Callable[[str], None] = _unheard) -> Self:
        """The cache of the embedder of this digest, made where there is none.

        Raises:
            CacheUnusableError: it cannot be read or written.
        """
        return cls(folder / f"{hashlib.sha256(digest.encode()).hexdigest()[:32]}.sqlite", secret, digest, note)

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def key(self, text: str) -> bytes:
        """What stands for a text in the file."""
        encoded = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(encoded, digest_size=KEY_BYTES, key=self._secret, person=b"text").digest()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """The (d,) vectors that are there, by key.

        Raises:
            CacheUnusableError: the file cannot be read.
        """
        found: dict[bytes, Vectors] = {}
        with self._usable():
            for start in range(0, len(keys), KEYS_A_QUERY):
                asked = keys[start : start + KEYS_A_QUERY]
                for key, blob in self._mending(partial(self._select, asked)):
                    if hmac.compare_digest(self._check_sum(key, blob[:-KEY_BYTES]), blob[-KEY_BYTES:]):
                        found[key] = np.frombuffer(blob[:-KEY_BYTES], np.float32)
        return found

    def _select(self, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # noqa: S608 - only question marks
        return self._database.execute(query, keys).fetchall()

    def put(self, keys: Sequence[bytes], rows: Vectors) -> None:
        """Keep (n, d) vectors under their keys; they are on the disk, all of them, when this returns.

        Raises:
            CacheUnusableError: the file cannot be written; nothing of these was kept.
        """
        plain = np.ascontiguousarray(rows, np.float32)
        made = []
        for key, row in zip(keys, plain, strict=True):
            vector = row.tobytes()
            made.append((key, vector + self._check_sum(key, vector)))
        with self._usable():
            self._mending(partial(self._insert, made))

    def _insert(self, made: list[tuple[bytes, bytes]]) -> None:
        with self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", made)

    def _check_sum(self, key: bytes, vector: bytes) -> bytes:
        whole = hashlib.blake2b(key, digest_size=KEY_BYTES, key=self._secret, person=b"vector")
        whole.update(vector)
        return whole.digest()

    def _open(self) -> None:
        """The file, its owner's alone, and no link to another."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            os.fchmod(descriptor, FILE_MODE)
            self._inode = os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)
        self._database = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)

    def _mending(self, work: Callable[[], Found]) -> Found:
        """What ``work`` gives: at the second attempt, with a file begun anew, where the first shows it malformed."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) not in MALFORMED:
                raise
        self._begin_anew()
        return work()

    def _begin_anew(self) -> None:
        self._database.close()
        if self.path.stat().st_ino == self._inode:  # otherwise another audit has moved it already
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            journal = self.path.with_name(f"{self.path.name}-journal")
            with suppress(FileNotFoundError):  # first, or it would be played back into the new file
                journal.rename(aside.with_name(f"{aside.name}-journal"))
            self.path.rename(aside)
            self._note(
                f"warning: the embedding cache {self.path} is malformed: it is now {aside.name}, another is begun"
            )
        self._open()
        self._prepare()

    def _prepare(self) -> None:
        for setting in (f"page_size = {PAGE_BYTES}", f"cache_size = -{PAGES_KIB}", "synchronous = FULL"):
            self._database.execute(f"PRAGMA {setting}")
        with closing(self._database.execute("PRAGMA user_version")) as asked:
            (version,) = asked.fetchone()
        if version == FORMAT:
            return
        if version != 0:
            raise sqlite3.DatabaseError("it is of another version of the program")
        with self._transaction():
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY NOT NULL, vector BLOB NOT NULL)"
            )
            self._database.execute(f"PRAGMA user_version = {FORMAT}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise CacheUnusableError(f"the embedding cache {self.path} cannot be used: {error}") from error
        except (OSError, RunError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.message
            raise CacheUnusableError(f"the embedding cache {self.path} cannot be used: {reason}") from error
