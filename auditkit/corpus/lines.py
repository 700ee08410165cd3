"""Lines of plain and compressed files, streamed: no line, however long, and no bomb is ever held whole."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from auditkit.corpus.unreadable import UnreadableFileError

# Text shrinks 3 to 20 times. What shrinks more than 200 times, and to something large, was made to fill a disk.
MAX_EXPANSION = 200
FREE_EXPANSION = 256 << 20  # bytes up to which any ratio is fine
_CHUNK = 1 << 20


def expansion_limit(packed_size: int) -> int:
    """How many bytes a compressed file of this size may become."""
    return max(FREE_EXPANSION, MAX_EXPANSION * packed_size)


def expansion_error() -> UnreadableFileError:
    """What is said of a file that becomes more than that."""
    return UnreadableFileError(
        f"expands more than {MAX_EXPANSION}-fold: it looks like a decompression bomb",
        "if the data is meant to be so repetitive, give the file uncompressed",
    )


def open_text(packed: BinaryIO, name: str, size: int) -> BinaryIO:
    """The decompressed bytes of an open file of ``size`` bytes, by the ending of its name (.gz, .zst or neither)."""
    if name.endswith(".gz"):
        return _buffered(cast(BinaryIO, gzip.GzipFile(fileobj=packed)), size)
    if name.endswith(".zst"):
        import pyarrow as pa

        return _buffered(cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")), size)
    return packed


def read_lines(stream: BinaryIO, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """(line number from 1, line without its end) of each line; None for a line of more than ``max_bytes``.

    Raises:
        UnreadableFileError: compressed data that is cut short, corrupt, or a decompression bomb.
    """
    number = 0
    try:
        while line := stream.readline(max_bytes + 2):  # room for \r\n
            number += 1
            body = line.rstrip(b"\r\n")
            whole = line.endswith(b"\n") or len(line) < max_bytes + 2
            if not whole:
                _skip_line(stream)
            yield number, body if whole and len(body) <= max_bytes else None
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFileError(f"cannot be read past line {number}: {_why(error)}") from error


def _skip_line(stream: BinaryIO) -> None:
    while (chunk := stream.readline(_CHUNK)) and not chunk.endswith(b"\n"):
        pass


def _why(error: Exception) -> str:
    if isinstance(error, EOFError) or "Truncated" in str(error):
        return "the compressed data is cut short"
    return f"{error.strerror}" if isinstance(error, OSError) and error.strerror else "the compressed data is damaged"


def _buffered(stream: BinaryIO, packed_size: int) -> BinaryIO:
    return io.BufferedReader(_Inflating(stream, packed_size), _CHUNK)


class _Inflating(io.RawIOBase):
    """A decompressing stream that stops at a decompression bomb."""

    def __init__(self, stream: BinaryIO, packed_size: int) -> None:
        self._stream = stream
        self._limit = expansion_limit(packed_size)
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._given += len(data)
        if self._given > self._limit:
            raise expansion_error()
        return len(data)
