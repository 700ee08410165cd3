"""Opening files that somebody else made: ordinary files only, and their digests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from auditkit.errors import ModelError


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[tuple[int, int]]:
    """(descriptor, size in bytes) of an ordinary file; a pipe or device would block or never end.

    Raises:
        ModelError: there is no such file, or it is something else or unreadable.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ModelError(f"{path}: cannot be opened: {error.strerror}") from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ModelError(f"{path}: is not an ordinary file")
        yield descriptor, facts.st_size
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes (hex), read in chunks.

    Raises:
        ModelError: it cannot be read.
    """
    with open_regular(path) as (descriptor, _), os.fdopen(os.dup(descriptor), "rb") as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from None


def read_text(path: Path, most: int) -> str:
    """A small text file.

    Raises:
        ModelError: it is larger than ``most`` bytes, or not UTF-8.
    """
    with open_regular(path) as (descriptor, size), os.fdopen(os.dup(descriptor), "rb") as file:
        if size > most:
            raise ModelError(f"{path}: is {size} bytes long; {most} are the most for such a file")
        try:
            return file.read(most).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ModelError(f"{path}: is not UTF-8") from None
