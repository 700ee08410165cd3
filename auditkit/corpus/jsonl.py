"""One JSON object a line, read strictly: what two parsers could understand differently is a bad line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from auditkit.corpus.chat import type_name
from auditkit.corpus.lines import read_lines
from auditkit.corpus.shapes import Row
from auditkit.corpus.unreadable import BadRowError

_JSON_SPACE = " \t\r\n"
_BOM = b"\xef\xbb\xbf"


def read_jsonl(stream: BinaryIO, max_line_bytes: int) -> Iterator[tuple[int, Row | BadRowError]]:
    """(line number, row or why it is none) of each line that is not blank. A byte-order mark is accepted.

    Raises:
        UnreadableFileError: the stream breaks off.
    """
    for number, line in read_lines(stream, max_line_bytes):
        if line is None:
            yield number, BadRowError(f"over-long: more than {max_line_bytes:,} bytes")
            continue
        text = line.removeprefix(_BOM) if number == 1 else line
        if text and not text.isspace():
            yield number, _row_or_reason(text)


def parse_row(line: bytes) -> Row:
    """The JSON object of a line.

    Raises:
        BadRowError: bad UTF-8, not JSON, NaN or infinity, a key twice in one object, or not an object.
    """
    try:
        text = line.decode().strip(_JSON_SPACE)
        value, end = _DECODER.raw_decode(text)
    except UnicodeDecodeError as error:
        raise BadRowError(f"bad UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise BadRowError(f"not JSON (column {error.colno})") from None
    except RecursionError:
        raise BadRowError("not JSON that can be read: nested too deeply") from None
    except ValueError:  # Python refuses to convert integers of thousands of digits
        raise BadRowError("not JSON that can be read: a number of too many digits") from None
    if end < len(text):
        raise BadRowError(f"not JSON (column {end + 1})")
    if not isinstance(value, dict):
        raise BadRowError(f"not an object but {type_name(value)}")
    return value


def _row_or_reason(line: bytes) -> Row | BadRowError:
    try:
        return parse_row(line)
    except BadRowError as error:
        return error


def _unique_keys(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise BadRowError("a key twice in one object")
    return row


def _no_constant(_: str) -> NoReturn:
    raise BadRowError("not JSON: NaN or infinity")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)
