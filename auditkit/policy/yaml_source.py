"""YAML as a policy may use it: plain data, every key with its line, nothing that expands, runs or surprises.

YAML 1.2 core booleans, numbers and nulls (so ``no`` is the text "no"), no tags, no aliases, bounded size and depth.
The tree is built from the parser's events, so that hostile input is refused before it costs anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from auditkit.errors import PolicyError, Problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_DIGITS = 40

Keys = tuple[str | int, ...]  # the way to a value: ("datasets", 0, "path")

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True)
class Place:
    """Where something was written; an option of the command line has no line."""

    file: Path
    line: int | None


@dataclass(frozen=True)
class Document:
    """A file's data, and for every key and list item the place where it stands. ``()`` is the document itself."""

    data: dict[str, Any]
    places: dict[Keys, Place]
    problems: tuple[Problem, ...] = ()
    broken: frozenset[Keys] = frozenset()  # values that `problems` already speaks of; None stands in their place

    def place(self, keys: Keys) -> Place:
        """Where this stands, or the nearest thing around it that stands anywhere."""
        while keys and keys not in self.places:
            keys = keys[:-1]
        return self.places[keys]


@dataclass(frozen=True)
class Value:
    """A parsed value that need not be a mapping, e.g. the right-hand side of ``--set``."""

    data: Any
    places: dict[Keys, Place]
    problems: tuple[Problem, ...] = ()
    broken: frozenset[Keys] = frozenset()


def shown(value: Any, length: int = 60) -> str:
    """A value as it may appear in a message: short, on one line, control characters escaped."""
    text = repr(value) if isinstance(value, str) else str(value)
    text = text.encode("ascii", "backslashreplace").decode() if not text.isprintable() else text
    return text if len(text) <= length else f"{text[: length - 3]}..."


def dotted(keys: Keys) -> str:
    """A way to a value as it is written in messages: ``datasets[0].fields``."""
    text = ""
    for key in keys:
        name = key if isinstance(key, int) or _PLAIN_KEY.fullmatch(key) else shown(key)
        text += f"[{name}]" if isinstance(key, int) else f".{name}" if text else str(name)
    return text


def read_document(raw: bytes, file: Path) -> Document:
    """A policy file's mapping.

    Raises:
        PolicyError: not YAML at all, too large or too deep. What can be read past is in ``problems`` instead.
    """
    found = read_value(_text(raw, file), file)
    if not isinstance(found.data, dict):
        empty = found.data is None
        message = "the policy is empty" if empty else "the policy should be a mapping of keys to values"
        raise PolicyError([*found.problems, Problem(file, 1, message, "auditkit init writes one to begin with")])
    return Document(found.data, found.places, found.problems, found.broken)


def read_value(text: str, file: Path, numbered: bool = True) -> Value:
    """Any YAML value. ``numbered`` False: places carry no line (an option of the command line).

    Raises:
        PolicyError: not YAML, too large or too deep.
    """
    builder = _Builder(file, numbered)
    try:
        data = builder.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"the character U+{_codepoint(error.character):04X} has no place in YAML"
        raise PolicyError([Problem(file, line if numbered else None, message, "delete it")]) from None
    except yaml.MarkedYAMLError as error:
        raise PolicyError([_syntax_problem(error, file, numbered)]) from None
    except yaml.YAMLError:
        raise PolicyError([Problem(file, None, "this is not YAML")]) from None
    return Value(data, builder.places, tuple(builder.problems), frozenset(builder.broken))


def _text(raw: bytes, file: Path) -> str:
    if len(raw) > MAX_BYTES:
        raise PolicyError([Problem(file, None, f"more than the {MAX_BYTES:,} bytes that a policy may have")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PolicyError([Problem(file, line, "not UTF-8 text", "save the file as UTF-8")]) from None


def _codepoint(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


def _syntax_problem(error: yaml.MarkedYAMLError, file: Path, numbered: bool) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = " ".join(part for part in (error.problem, error.context and f"({error.context})") if part)
    hint = "indent with spaces, not tabs" if "'\\t'" in what else "quote text that holds : # { [ @ or %"
    return Problem(file, mark.line + 1 if mark and numbered else None, f"not valid YAML: {what[:200]}", hint)


@dataclass
class _Builder:
    """Turns events into data; what can be read past is collected, what cannot is raised."""

    file: Path
    numbered: bool
    places: dict[Keys, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[Keys] = field(default_factory=set)
    nodes: int = 0

    def document(self, events: Iterator[yaml.Event]) -> Any:
        data: Any = None
        documents = 0
        self.places[()] = Place(self.file, 1 if self.numbered else None)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._fail(event, "a second document begins here", "a policy is one document: delete the ---")
            elif isinstance(event, yaml.NodeEvent):
                data = self._value(event, events, ())
        return data

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], keys: Keys) -> Any:
        self._bound(event, keys)
        if isinstance(event, yaml.AliasEvent):
            hint = "write the value out, or share it through a preset: extends: FILE"
            return self._note(event, keys, f"the alias {shown(event.anchor)} is not allowed in a policy", hint)
        if getattr(event, "tag", None) is not None:
            tag = shown(getattr(event, "tag", ""))
            self._note(
                event, keys, f"the tag {tag} is not allowed in a policy", "write plain values; quote what is text"
            )
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, keys)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, keys)
        assert isinstance(event, yaml.ScalarEvent)
        return self._scalar(event, keys)

    def _mapping(self, events: Iterator[yaml.Event], keys: Keys) -> dict[str, Any]:
        found: dict[str, Any] = {}
        first_lines: dict[str, int] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, events, keys)
            if key in found:
                lines = f"lines {first_lines[key]} and {self._line(event)}"
                self._note(event, (), f"`{dotted((*keys, key))}` is given twice: {lines}", "keep one of the two")
                self._value(next(events), events, (*keys, f"{key} (again)"))
                continue
            first_lines[key] = self._line(event)
            self.places[(*keys, key)] = self._place(event)
            found[key] = self._value(next(events), events, (*keys, key))
        return found

    def _key(self, event: yaml.Event, events: Iterator[yaml.Event], keys: Keys) -> str:
        """The key as text, as it was written: ``on`` and ``1`` are names here, if unusual ones."""
        if isinstance(event, yaml.ScalarEvent):
            self._bound(event, keys)
            self._scalar(event, (*keys, "(key)"))
            return str(event.value)
        self._note(event, (), "a key should be plain text")
        self._value(event, events, (*keys, "(key)"))
        return f"(key on line {self._line(event)})"

    def _sequence(self, events: Iterator[yaml.Event], keys: Keys) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            way = (*keys, len(found))
            self.places[way] = self._place(event)
            found.append(self._value(event, events, way))
        return found

    def _scalar(self, event: yaml.ScalarEvent, keys: Keys) -> Any:
        text = str(event.value)
        if _SURROGATE.search(text):
            return self._note(event, keys, "half of a surrogate pair is not a character", "write the character itself")
        if not event.implicit[0]:  # quoted, or a block: text whatever it looks like
            return text
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
            return text.lower() == "true"
        return self._number(event, keys, text)

    def _number(self, event: yaml.ScalarEvent, keys: Keys, text: str) -> Any:
        if _NOT_FINITE.fullmatch(text):
            return self._note(event, keys, f"{text} is not a number that a policy can use")
        if not (_OCTAL.fullmatch(text) or _HEX.fullmatch(text) or _FLOAT.fullmatch(text)):
            return text
        if len(text) > MAX_DIGITS:
            hint = f"at most {MAX_DIGITS}; quote it if it is text"
            return self._note(event, keys, f"a number of {len(text):,} characters", hint)
        if _INTEGER.fullmatch(text):
            return self._integer(event, keys, text)
        number = float(text) if _FLOAT.fullmatch(text) else int(text, 0)
        return number if math.isfinite(number) else self._note(event, keys, f"{text} is too large a number")

    def _integer(self, event: yaml.ScalarEvent, keys: Keys, text: str) -> Any:
        digits = text.lstrip("-+")
        if len(digits) == 1 or not digits.startswith("0"):
            return int(text)
        hint = f"write {int(text)}; for octal 0o{digits.lstrip('0') or '0'}; quote it if it is text"
        return self._note(event, keys, f"{text} means one number in YAML 1.1 and another in 1.2", hint)

    def _bound(self, event: yaml.Event, keys: Keys) -> None:
        self.nodes += 1
        if len(keys) > MAX_DEPTH:
            self._fail(event, f"nested more than {MAX_DEPTH} deep", "no section of a policy is")
        if self.nodes > MAX_NODES:
            self._fail(event, f"more than {MAX_NODES:,} values", "no policy needs as many")

    def _note(self, event: yaml.Event, keys: Keys, message: str, hint: str = "") -> None:
        self.broken.add(keys)
        self.problems.append(Problem(self.file, self._place(event).line, message, hint))

    def _fail(self, event: yaml.Event, message: str, hint: str) -> None:
        raise PolicyError([*self.problems, Problem(self.file, self._place(event).line, message, hint)])

    def _line(self, event: yaml.Event) -> int:
        return int(event.start_mark.line) + 1 if event.start_mark else 1

    def _place(self, event: yaml.Event) -> Place:
        return Place(self.file, self._line(event) if self.numbered else None)
