"""What a training mitigation trains on: the records of a recipe, from the policy's datasets or from files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.errors import DataError, MitigationFailedError, Problem
from auditkit.mitigations.base import Declared
from auditkit.mitigations.recipe import Recipe, RecipeData, RecipeReplay, RowFields
from auditkit.records import Record
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


def recipe_examples(recipe: Recipe, datasets: Sequence[Declared], seed: int) -> list[Example]:
    """What the recipe says is trained on, its replay included.

    Raises:
        DataError: a file cannot be read, or a line of it is no such row; every problem with its line.
        MitigationFailedError: there is nothing to train on.
    """
    if recipe.data:
        found = [example for part in recipe.data for example in read_examples(part)]
    else:
        found = [example for dataset in datasets if dataset.stage in ("sft", "dpo") for example in _members(dataset)]
    if not found:
        hint = "give recipe.data, or declare a dataset of stage sft or dpo"
        raise MitigationFailedError("there is nothing to train on", hint)
    found += _replayed(recipe.replay, len(found), seed) if recipe.replay else []
    refuse_controls(found, datasets)
    return found


def refuse_controls(examples: Sequence[Example], datasets: Sequence[Declared]) -> None:
    """A control that is trained on is none: what the model then says of controls hides what it says of members.

    Letter case, punctuation and white space do not count.

    Raises:
        MitigationFailedError: an example repeats a control, or asks what a control asks.
    """
    known = {_words(text): dataset.name for dataset in datasets for one in dataset.controls for text in _texts(one)}
    known.pop("", None)
    found = [dataset for one in examples for text in (one.text, one.prompt) if (dataset := known.get(_words(text)))]
    if found:
        what = f"{len(found):,} texts to be trained on are controls of {', '.join(sorted(set(found)))}"
        raise MitigationFailedError(what, "take them out of the data: a control must never have been trained on")


def _texts(record: Record) -> tuple[str, str]:
    return record.text, record.prompt


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def check_files(recipe: Recipe) -> None:
    """Read what the recipe names, and keep nothing.

    Raises:
        DataError: a file cannot be read, or a line of it is no such row.
    """
    replay = recipe.replay
    plain = [RecipeData(path=replay.path, fields=RowFields(text=replay.field))] if replay else []
    for part in (*(recipe.data or ()), *plain):
        read_examples(part)


def read_examples(part: RecipeData) -> list[Example]:
    """The rows of one file.

    Raises:
        DataError: it cannot be read, or a line of it is no such row.
    """
    path, problems = Path(part.path), []
    found: list[Example] = []
    for number, line in _lines(path):
        try:
            found.append(_example(_row(line), part, path.stem))
        except ValueError as error:
            problems.append(Problem(path, number, str(error)))
            if len(problems) == MAX_PROBLEMS:
                break
    if part.fields.system and not problems and not any(one.systems for one in found):
        problems.append(Problem(path, None, f"no row has a system turn in field {part.fields.system!r}"))
    if problems:
        raise DataError(problems)
    return found


def members_digest(datasets: Sequence[Declared]) -> str:
    """sha256 over the ids of all declared members, whatever their order: which records an audit is about."""
    ids = sorted(record.id for dataset in datasets for record in dataset.members)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def members_among(examples: Sequence[Example], datasets: Sequence[Declared]) -> tuple[int, int]:
    """How many of the declared members are trained on, by their words, and how many there are."""
    known = {_words(one.text) for one in examples}
    members = [record for dataset in datasets for record in dataset.members]
    return sum(_words(record.text) in known for record in members), len(members)


def _members(dataset: Declared) -> Iterator[Example]:
    """The members once each. One without an answer is a plain text."""
    for at, record in enumerate(dataset.members):
        cluster = (dataset.name, int(dataset.clusters[at]))
        if record.response:
            yield Example(record.prompt, record.response, source=dataset.name, cluster=cluster)
        else:
            yield Example("", record.prompt, plain=True, source=dataset.name, cluster=cluster)


def _replayed(replay: RecipeReplay, rows: int, seed: int) -> list[Example]:
    part = RecipeData(path=replay.path, fields=RowFields(text=replay.field))
    texts = [Example("", one.response, plain=True, source=REPLAY) for one in read_examples(part)]
    if not texts:
        raise DataError([Problem(Path(replay.path), None, "holds no text to mix in")])
    return seeded(seed, REPLAY).choices(texts, k=max(1, round(rows * replay.share / (1 - replay.share))))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
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


def _row(line: bytes) -> dict[str, Any]:
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
        return Example("", _text(row, fields.text), plain=True, repeats=repeats, source=source)
    assert fields.prompt and fields.response
    prompt, response = _text(row, fields.prompt), _text(row, fields.response)
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


def _text(row: dict[str, Any], field: str) -> str:
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
