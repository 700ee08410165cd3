"""Reads a safetensors header inside the sandbox, and checks that the tensors fill the file and nothing else.

``sandbox_child.py`` loads this by path; it needs only the standard library. Format: 8 bytes of length, that many
bytes of JSON, then the tensors without gaps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, NoReturn

Read = Callable[[int, int], bytes]  # (offset, length) -> that many bytes, fewer at the end of the file

MOST_HEADER = 100_000_000  # the format's own bound
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8}
BITS |= {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16}
BITS |= {"I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64}
NO_PARAMETERS = frozenset(("BOOL", "I64"))  # masks and position tables


class Refused(ValueError):  # noqa: N818 - reads as the verdict that it is
    """The file is not a safetensors file that can be trusted; the text says which rule it breaks."""


def _refuse(text: str) -> NoReturn:
    raise Refused(text)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Parse the header of the open file ``job["file"]`` (a descriptor) of ``job["size"]`` bytes."""
    return parse(lambda offset, length: os.pread(job["file"], length, offset), job["size"])


def parse(read: Read, size: int) -> dict[str, Any]:
    """``parameters`` (values in all tensors but masks and tables) and ``tensors`` (their names).

    Raises:
        Refused: the header is cut off, no JSON, or does not fit the file.
    """
    if size < 8:
        _refuse(f"it is {size} bytes long, too short for a header")
    length = int.from_bytes(read(0, 8), "little")
    if length > min(MOST_HEADER, size - 8):
        _refuse(f"it claims a header of {length} bytes in a file of {size}")
    table = _table(read(8, length))
    spans = sorted(_span(name, entry) for name, entry in table.items())
    end = 0
    for start, stop, name, _ in spans:
        if start != end:
            _refuse(f"the tensor {name!r} begins at {start}, where {end} is due: tensors overlap or leave a gap")
        end = stop
    if end != size - 8 - length:
        _refuse(f"its tensors take {end} bytes, and {size - 8 - length} are there: cut off, or something is appended")
    return {"parameters": sum(values for *_, values in spans), "tensors": list(table)}


def _table(text: bytes) -> dict[str, Any]:
    try:
        table = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
    except Refused:
        raise
    except (ValueError, RecursionError):  # not UTF-8, not JSON, numbers of thousands of digits, nested without end
        _refuse("its header is not JSON")
    if not isinstance(table, dict):
        _refuse("its header is not a JSON object")
    table.pop("__metadata__", None)
    return table


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse("a name comes twice in its header")
    return found


def _span(name: str, entry: Any) -> tuple[int, int, str, int]:
    """Where a tensor begins and ends, its name, and how many parameters it has."""
    try:
        kind, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        _refuse(f"the entry of tensor {name!r} lacks dtype, shape or data_offsets")
    if not isinstance(kind, str) or kind not in BITS:
        _refuse(f"the tensor {name!r} has an unknown type")
    if not isinstance(shape, list) or len(shape) > 16 or not all(map(_is_size, (*shape, start, stop))):
        _refuse(f"the shape or offsets of tensor {name!r} are no sizes")
    values = 1
    for side in shape:
        values *= side
    if start > stop or (stop - start) * 8 != values * BITS[kind]:
        _refuse(f"the tensor {name!r} takes {stop - start} bytes, which is not what its shape and type need")
    return start, stop, name, 0 if kind in NO_PARAMETERS else values


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63
