"""The files of a run folder: listed without following links, digested as streams."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20


@dataclass(frozen=True)
class Listing:
    """What stands in a folder, as names relative to it with forward slashes, sorted.

    ``strange`` is what no run writes: links, devices, pipes, names that are not UTF-8.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    strange: tuple[str, ...]


def list_folder(folder: Path) -> Listing:
    """Everything in a folder and below, hidden files included, no link followed."""
    found: dict[str, list[str]] = {"file": [], "folder": [], "strange": []}
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                kind = _kind(entry)
                found[kind].append(Path(entry.path).relative_to(folder).as_posix())
                if kind == "folder":
                    waiting.append(Path(entry.path))
    return Listing(*(tuple(sorted(found[kind])) for kind in ("file", "folder", "strange")))


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        entry.name.encode("utf-8")
    except UnicodeEncodeError:
        return "strange"
    if entry.is_file(follow_symlinks=False):
        return "file"
    return "folder" if entry.is_dir(follow_symlinks=False) else "strange"


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a regular file, read as a stream; a link at its place is not followed.

    Raises:
        OSError: unreadable, a link, or no regular file.
    """
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes.

    Raises:
        ValueError: it is longer.
        OSError: unreadable, a link, or no regular file.
    """
    content = bytearray()
    for block in _blocks(path):
        content += block
        if len(content) > limit:
            raise ValueError(f"longer than {limit:,} bytes")
    return bytes(content)


def _blocks(path: Path) -> Iterator[bytes]:
    # O_NONBLOCK: a pipe put in the file's place must not make us wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        while block := stream.read(BLOCK):
            yield block


def create(path: Path, content: bytes, mode: int) -> None:
    """Write a new file that never had wider permissions than ``mode``.

    Raises:
        FileExistsError: something, be it a dangling link, has this name.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def visible(text: str, limit: int = 300) -> str:
    """Text of unknown origin as one line that is safe on a terminal: control characters shown as such."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:limit])
    return shown + ("..." if len(text) > limit else "")
