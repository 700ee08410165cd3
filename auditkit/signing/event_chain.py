"""events.jsonl: every line carries the digest of the one before, so that no line can be changed or lost unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from auditkit import strict_json

GENESIS = "0" * 64  # what the first line names as its predecessor
WRITTEN = "written"  # of a report: which file, and whether it holds texts of the data
CLOSED = "closed"  # the event that a log ends with
LINE_LIMIT = 1 << 20


def line_digest(line: bytes) -> str:
    """SHA-256 (hex) of a line's bytes without its newline: what the next line's ``prev`` must be."""
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def check_chain(path: Path, *, closed: bool = True) -> list[str]:
    """What is wrong with an event log, line by line; empty for one that is whole and, where that is asked, closed."""
    problems: list[str] = []
    previous, event, number = GENESIS, "", 0
    with path.open("rb") as stream:
        for number, line in _lines(stream):
            try:
                said, event = _event(line)
            except ValueError as error:
                problems.append(f"line {number} {error}")
                said, event = previous, ""
            if said != previous:
                problems.append(_broken(number, said))
            previous = line_digest(line)
    if closed and event != CLOSED:
        problems.append(f"the log ends at line {number} without a '{CLOSED}' event: its end was cut off or changed")
    return problems


def files_with_texts(path: Path) -> frozenset[str]:
    """The files of which an event log says that they hold texts of the data; none in logs of earlier versions."""
    with path.open("rb") as stream:
        return frozenset(name for _, line in _lines(stream) if (name := _with_texts(line)))


def _with_texts(line: bytes) -> str:
    try:
        said = strict_json.parse(line)
    except ValueError:  # `check_chain` says so
        return ""
    told = isinstance(said, dict) and said.get("event") == WRITTEN and said.get("texts") is True
    return said["file"] if told and isinstance(said.get("file"), str) else ""


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(LINE_LIMIT + 1):
        number += 1
        yield number, line
        if len(line) > LINE_LIMIT:
            return  # nothing that follows can be told apart into lines


def _event(line: bytes) -> tuple[str, str]:
    """The digest that a line names, and its event."""
    if len(line) > LINE_LIMIT:
        raise ValueError(f"is longer than {LINE_LIMIT:,} bytes")
    if not line.endswith(b"\n"):
        raise ValueError("is cut off: it does not end in a newline")
    try:
        value = strict_json.parse(line)
    except ValueError:
        raise ValueError("is not strict JSON") from None
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("prev", "event")):
        raise ValueError("is not an event with 'event' and 'prev'")
    return value["prev"], value["event"]


def _broken(number: int, said: str) -> str:
    if number == 1:
        return "line 1 is not the log's beginning: lines before it were removed, or it was edited"
    if said == GENESIS:
        return f"line {number} claims to be the log's beginning: lines were reordered or inserted"
    return (
        f"line {number} does not follow line {number - 1}: one of the two was edited, "
        "or a line was removed, inserted or moved here"
    )
