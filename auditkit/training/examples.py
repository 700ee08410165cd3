"""What a training reads from files: rows with a line each, checked before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.errors import DataError, Problem
from auditkit.training.recipe import RecipeData, RecipeReplay, RowFields
from auditkit.training.rows import system_turns
from auditkit.training.seeds import seeded

MAX_LINE, MAX_REPEATS, MAX_PROBLEMS = 64 << 20, 100_000, 20
REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its answer, or (``plain``) a text alone, which then stands in ``response``.

    Attributes:
        repeats: how often an epoch sees it, at least 1.
        systems: of the system turns that it stands behind, one for each of the first of its repeats; no more of them.
        source: which data it is from.
        cluster: the same for what nearly repeats each other, where that is known: dataset and label.
    """

    prompt: str
    response: str
    plain: bool = False
    repeats: int = 1
    systems: tuple[str, ...] = ()
    source: str = ""
    cluster: tuple[str, int] | None = None

    @property
    def text(self) -> str:
        """All its words in one block."""
        return self.response if self.plain else f"{self.prompt}\n{self.response}"

    @property
    def each_time(self) -> tuple[str, ...]:
        """(repeats,) the system turn that it stands behind each time an epoch sees it; "" is none."""
        return system_turns(self.systems, self.repeats)


def read_examples(part: RecipeData) -> list[Example]:
    """The rows of one file.

    Raises:
        DataError: it cannot be read, or a line of it is no such row.
    """
    path, problems = Path(part.path), []
    found: list[Example] = []
    for number, line in lines_of(path):
        try:
            found.append(_example(json_row(line), part, path.stem))
        except ValueError as error:
            problems.append(Problem(path, number, str(error)))
            if len(problems) == MAX_PROBLEMS:
                break
    if part.fields.system and not problems and not any(one.systems for one in found):
        problems.append(Problem(path, None, f"no row has a system turn in field {part.fields.system!r}"))
    if problems:
        raise DataError(problems)
    return found


def read_replay(replay: RecipeReplay) -> list[Example]:
    """The plain texts that are mixed in.

    Raises:
        DataError: the file cannot be read, a line of it is no such row, or there is none.
    """
    part = RecipeData(path=replay.path, fields=RowFields(text=replay.field))
    texts = [Example("", one.response, plain=True, source=REPLAY) for one in read_examples(part)]
    if not texts:
        raise DataError([Problem(Path(replay.path), None, "holds no text to mix in")])
    return texts


def replayed(replay: RecipeReplay, rows: int, seed: int) -> list[Example]:
    """As many of them as make up the declared share beside so many rows, drawn by the seed.

    Raises:
        DataError: as for ``read_replay``.
    """
    texts = read_replay(replay)
    return seeded(seed, REPLAY).choices(texts, k=max(1, round(rows * replay.share / (1 - replay.share))))


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, bytes) of each line that is not blank.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
                if len(line) > MAX_LINE:
                    raise DataError([Problem(path, number, f"a line of more than {MAX_LINE:,} bytes")])
                if line.strip():
                    yield number, line
    except OSError as error:
        hint = "a recipe reads uncompressed .jsonl files, relative to the policy"
        raise DataError([Problem(path, None, f"cannot be read: {error.strerror or error}", hint)]) from None


def json_row(line: bytes) -> dict[str, Any]:
    """A line as the object that it is.

    Raises:
        ValueError: it is none, in words that quote nothing of it.
    """
    try:
        row = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except UnicodeDecodeError:
        raise ValueError("bad UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON (column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return row


def _example(row: dict[str, Any], part: RecipeData, source: str) -> Example:
    repeats = row.get(part.repeats, 1) if part.repeats else 1
    if type(repeats) is not int or not 1 <= repeats <= MAX_REPEATS:
        raise ValueError(f"field {part.repeats!r} should be a whole number from 1 to {MAX_REPEATS:,}")
    fields = part.fields
    if fields.text:
        return Example("", text_field(row, fields.text), plain=True, repeats=repeats, source=source)
    assert fields.prompt and fields.response
    prompt, response = text_field(row, fields.prompt), text_field(row, fields.response)
    return Example(prompt, response, repeats=repeats, systems=_systems(row, fields.system, repeats), source=source)


def _systems(row: dict[str, Any], field: str | None, repeats: int) -> tuple[str, ...]:
    """One text stands before the row whenever it is seen; a list before so many of its repeats."""
    value = row.get(field) if field else None
    if value in (None, "", []):
        return ()
    given = [value] * repeats if isinstance(value, str) else value
    if not isinstance(given, list) or len(given) > repeats:
        raise ValueError(f"field {field!r} should be a text, or a list of no more texts than the row has repeats")
    return tuple(_sound(one, str(field)) for one in given)


def text_field(row: dict[str, Any], field: str) -> str:
    """A field that has to hold a text.

    Raises:
        ValueError: it is missing, no text, or empty.
    """
    value = row.get(field)
    if value is None:
        raise ValueError(f"missing field {field!r}")
    return _sound(value, field)


def _sound(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"field {field!r} should be a text that is not empty")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"field {field!r} holds half a surrogate pair, which is no text")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key twice in one object")
    return row


def _refuse_constant(_: str) -> Any:
    raise ValueError("not JSON: NaN or infinity")


def counts(examples: Sequence[Example]) -> dict[str, int]:
    """Source -> how many examples are from it, repeats not counted."""
    return {name: sum(one.source == name for one in examples) for name in dict.fromkeys(e.source for e in examples)}
