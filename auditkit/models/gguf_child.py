"""Reads a GGUF header inside the sandbox: every count, length and offset is checked before anything is made of it.

``sandbox_child.py`` loads this by path; it needs only the standard library. Format: the GGUF specification of the
ggml project, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from typing import Any, NoReturn

Read = Callable[[int, int], bytes]  # (offset, length) -> that many bytes, fewer at the end of the file

CHUNK = 2**20
MOST_HEADER = 192 * 2**20  # the largest vocabularies of today come to some 20 MiB
MOST_ELEMENTS = 2**24
MOST_ENTRIES = 2**16
MOST_TENSORS = 2**18
MOST_NAME = 2**16 - 1
MOST_TEXT = 2**20  # of a text that is kept; longer ones in arrays are skipped over
MOST_KEPT = 256  # characters of a text among the metadata that are handed on
MOST_DIMENSIONS = 4
MOST_DEPTH = 2

STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
INTEGERS = frozenset((0, 1, 2, 3, 4, 5, 10, 11))

# Tensor type -> name, values in a block, bytes of a block.
TENSOR_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}


class Refused(ValueError):  # noqa: N818 - reads as the verdict that it is
    """The file is not a GGUF file that can be trusted; the text says which rule it breaks."""


def _refuse(text: str) -> NoReturn:
    raise Refused(text)


class Cursor:
    """A place in the file that moves forward only over bytes that are there."""

    def __init__(self, read: Read, size: int) -> None:
        self.read = read
        self.size = size
        self.position = 0
        self.start = 0  # of what is in memory
        self.held = b""

    def need(self, length: int, what: str) -> None:
        """Refuse a length that goes past the end of the file or of any sensible header, before reading it."""
        if length > self.size - self.position:
            _refuse(f"{what} at byte {self.position} goes past the end of the file")
        if self.position + length > MOST_HEADER:
            _refuse(f"{what} at byte {self.position} makes the header larger than {MOST_HEADER // 2**20} MiB")

    def take(self, length: int, what: str) -> bytes:
        """The next ``length`` bytes."""
        self.need(length, what)
        offset = self.position - self.start
        if offset < 0 or offset + length > len(self.held):
            self.start, offset = self.position, 0
            self.held = self.read(self.position, max(length, CHUNK))
            if len(self.held) < length:
                _refuse(f"{what} at byte {self.position} cannot be read")
        self.position += length
        return self.held[offset : offset + length]

    def skip(self, length: int, what: str) -> None:
        """Go over the next ``length`` bytes unread."""
        self.need(length, what)
        self.position += length

    def strings(self, count: int, what: str, kept: list[bytes] | None) -> None:
        """Go over many strings, which is all but the whole header: a loop without a call for each."""
        length_at, end = struct.Struct("<Q").unpack_from, min(self.size, MOST_HEADER)
        for _ in range(count):
            offset = self.position - self.start
            if not 0 <= offset <= len(self.held) - 8:
                self.take(8, what)
                self.position, offset = self.position - 8, self.position - 8 - self.start
            length = length_at(self.held, offset)[0]
            self.position += 8
            if length > end - self.position:
                self.need(length, what)
            if kept is not None:
                kept.append(self.take(length, what))
            else:
                self.position += length

    def number(self, form: str, what: str) -> Any:
        """One little-endian number."""
        return struct.unpack("<" + form, self.take(struct.calcsize(form), what))[0]

    def text(self, most: int, what: str) -> str:
        """A string with its length in front."""
        length = self.number("Q", f"the length of {what}")
        if length > most:
            _refuse(f"{what} is {length} bytes long; {most} are the most")
        try:
            return self.take(length, what).decode()
        except UnicodeDecodeError:
            _refuse(f"{what} is not UTF-8")


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Parse the header of the open file ``job["file"]`` (a descriptor) of ``job["size"]`` bytes."""
    return parse(lambda offset, length: os.pread(job["file"], length, offset), job["size"])


def parse(read: Read, size: int) -> dict[str, Any]:
    """What the header says: the fields of `auditkit.models.gguf.GgufHeader` but for the file's name.

    Raises:
        Refused: the header breaks a rule of the format, or a bound of this reader.
    """
    cursor = Cursor(read, size)
    if size < 4 or cursor.take(4, "the magic number") != b"GGUF":
        _refuse("it does not begin with GGUF")
    version = cursor.number("I", "the version")
    if version not in (2, 3):
        swapped = int.from_bytes(version.to_bytes(4, "big"), "little") in (2, 3)
        _refuse("it is big-endian" if swapped else f"its version is {version}; 2 and 3 can be read")
    tensors = _count(cursor, "tensor", MOST_TENSORS, least_bytes=32)
    entries = _count(cursor, "metadata entry", MOST_ENTRIES, least_bytes=13)
    metadata = Metadata()
    for _ in range(entries):
        metadata.add(cursor)
    return {
        "version": version,
        "file_size": size,
        **_tensors(cursor, tensors, metadata.alignment()),
        **metadata.facts(),
    }


def _count(cursor: Cursor, what: str, most: int, least_bytes: int) -> int:
    count: int = cursor.number("Q", f"the {what} count")
    if count > most or count * least_bytes > cursor.size - cursor.position:
        _refuse(f"it claims {count} items of kind {what}, more than the file can hold or any model has")
    return count


class Metadata:
    """The key-value part: small values kept, arrays gone over but for the vocabulary's texts."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.tokens: list[bytes] = []
        self.tokenizer = hashlib.sha256()

    def add(self, cursor: Cursor) -> None:
        """Read one entry."""
        key = cursor.text(MOST_NAME, "a metadata key")
        if not key or not key.isprintable():
            _refuse(f"a metadata key before byte {cursor.position} is empty or has control characters")
        if key in self.values:
            _refuse(f"the metadata key {key!r} comes twice")
        kind, start = cursor.number("I", f"the type of {key!r}"), cursor.position
        self.values[key] = self._value(cursor, kind, key)
        if key.startswith("tokenizer."):
            self._digest(cursor, key, start)

    def _value(self, cursor: Cursor, kind: int, key: str) -> Any:
        what = f"the value of {key!r}"
        if kind == STRING:
            return cursor.text(MOST_TEXT, what)
        if kind == ARRAY:
            return self._array(cursor, key, what, 1)
        if kind not in SCALARS:
            _refuse(f"{what} has the unknown type {kind}")
        value = cursor.number(SCALARS[kind], what)
        if kind == BOOL and value > 1:
            _refuse(f"{what} is a truth value of {value}")
        return bool(value) if kind == BOOL else value

    def _array(self, cursor: Cursor, key: str, what: str, depth: int) -> None:
        """Go over an array. Its values are not kept: what they say is not asked for, but for the tokens."""
        kind, count = cursor.number("I", f"{what} (type)"), cursor.number("Q", f"{what} (count)")
        if count > MOST_ELEMENTS:
            _refuse(f"{what} is an array of {count} items; {MOST_ELEMENTS} are the most")
        if kind in SCALARS:
            cursor.skip(count * struct.calcsize(SCALARS[kind]), what)
        elif kind == STRING:
            cursor.need(count * 8, what)
            wanted = key == "tokenizer.ggml.tokens" and depth == 1
            cursor.strings(count, what, self.tokens if wanted else None)
        elif kind == ARRAY and depth < MOST_DEPTH:
            cursor.need(count * 12, what)
            for _ in range(count):
                self._array(cursor, key, what, depth + 1)
        else:
            _refuse(f"{what} is an array of the unknown type {kind}, or arrays nested too deeply")

    def _digest(self, cursor: Cursor, key: str, start: int) -> None:
        """Add this entry's bytes to the tokenizer's digest."""
        self.tokenizer.update(key.encode() + b"\0")
        for offset in range(start, cursor.position, CHUNK):
            self.tokenizer.update(cursor.read(offset, min(CHUNK, cursor.position - offset)))

    def alignment(self) -> int:
        """What tensor offsets are multiples of."""
        value = self.values.get("general.alignment", 32)
        if type(value) is not int or not 8 <= value <= 2**20 or value & (value - 1):
            _refuse("general.alignment is not a power of two from 8 to 1048576")
        return value

    def facts(self) -> dict[str, Any]:
        """The part of the result that the metadata hold."""
        facts = {
            "architecture": self._text("general.architecture") or "",
            "name": self._text("general.name") or "",
            "tokenizer_model": self._text("tokenizer.ggml.model") or "",
            "tokenizer_pre": self._text("tokenizer.ggml.pre") or "",
            "chat_template": self._text("tokenizer.chat_template"),
            "tokenizer_sha256": self.tokenizer.hexdigest() if self.tokens else "",
            "splits": self._number("split.count") or 1,
            "metadata": {key: value for key, value in self.values.items() if _is_small(value)},
            "metadata_keys": list(self.values),
        }
        for name, key in (("bos", "bos"), ("eos", "eos"), ("unknown", "unknown"), ("pad", "padding")):
            facts[f"{name}_id"], facts[f"{name}_token"] = self._token(f"tokenizer.ggml.{key}_token_id")
        return facts

    def _text(self, key: str) -> str | None:
        value = self.values.get(key)
        if key in self.values and not isinstance(value, str):
            _refuse(f"{key!r} is not a text")
        return value

    def _number(self, key: str) -> int | None:
        value = self.values.get(key)
        if key in self.values and type(value) is not int:
            _refuse(f"{key!r} is not a whole number")
        return value

    def _token(self, key: str) -> tuple[int | None, str]:
        number = self._number(key)
        if number is None or not self.tokens:
            return number, ""
        if not 0 <= number < len(self.tokens):
            _refuse(f"{key!r} is {number}, and there are {len(self.tokens)} tokens")
        return number, self.tokens[number].decode(errors="replace")


def _is_small(value: Any) -> bool:
    return value is not None and (not isinstance(value, str) or len(value) <= MOST_KEPT)


def _tensors(cursor: Cursor, count: int, alignment: int) -> dict[str, Any]:
    """Go over the tensor table; every tensor's bytes must lie in the file, aligned, and be no other's."""
    names: set[str] = set()
    types: dict[str, int] = {}
    spans: list[tuple[int, int, str]] = []
    parameters = 0
    for _ in range(count):
        name, kind, elements, offset, length = _tensor(cursor)
        if name in names:
            _refuse(f"the tensor {name!r} comes twice")
        if offset % alignment:
            _refuse(f"the offset of tensor {name!r} is not a multiple of {alignment}")
        names.add(name)
        types[kind] = types.get(kind, 0) + 1
        spans.append((offset, offset + length, name))
        parameters += elements
    _check_spans(sorted(spans), cursor.size - -(-cursor.position // alignment) * alignment)
    return {"parameters": parameters, "tensor_types": types}


def _tensor(cursor: Cursor) -> tuple[str, str, int, int, int]:
    """Name, type, number of values, offset and bytes of the next tensor of the table."""
    name = cursor.text(MOST_NAME, "a tensor's name")
    dimensions = cursor.number("I", f"the dimensions of {name!r}")
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        _refuse(f"the tensor {name!r} has {dimensions} dimensions; 1 to {MOST_DIMENSIONS} can be read")
    shape = struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions, f"the shape of {name!r}"))
    kind, offset = cursor.number("I", f"the type of {name!r}"), cursor.number("Q", f"the offset of {name!r}")
    if kind not in TENSOR_TYPES:
        _refuse(f"the tensor {name!r} has the unknown type {kind}")
    label, block, block_bytes = TENSOR_TYPES[kind]
    elements = 1
    for length in shape:
        elements *= length
    if elements == 0 or shape[0] % block:
        _refuse(f"the tensor {name!r} is empty, or its rows are not whole blocks of {block}")
    return name, label, elements, offset, elements // block * block_bytes


def _check_spans(spans: list[tuple[int, int, str]], room: int) -> None:
    """No tensor beyond the file's end, none over another; ``spans`` are sorted."""
    end = 0
    for start, stop, name in spans:
        if stop > room:
            _refuse(f"the tensor {name!r} goes past the end of the file")
        if start < end:
            _refuse(f"the tensor {name!r} overlaps another")
        end = stop
