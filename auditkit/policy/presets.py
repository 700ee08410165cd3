"""Presets: ``extends`` names a policy that ships with auditkit, or another file; the child's values win."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from auditkit.errors import PolicyError, Problem
from auditkit.files import read_plain
from auditkit.policy.suggestions import did_you_mean, one_of
from auditkit.policy.yaml_source import (
    MAX_BYTES,
    MAX_DEPTH,
    Document,
    Keys,
    Place,
    Value,
    read_document,
    read_value,
    shown,
)
from auditkit.resources import resource_folder

MAX_CHAIN = 8
_KIND_KEYS = ("kind", "backend")
_PRESET_NAME = re.compile(r"[A-Za-z0-9_-]+")
# A child may ask for a stronger attack than its preset, never for a weaker one: the direction that is weaker.
_WEAKER_IS_LESS = {"samples": True, "max_new_tokens": True, "temperature_min": True, "temperature_max": False}


def preset_names() -> list[str]:
    """The presets that ship."""
    return sorted(path.stem for path in resource_folder("policies").glob("*.yaml"))


def read_file(path: Path) -> tuple[Document, bytes]:
    """A policy file and its bytes.

    Raises:
        PolicyError: it cannot be read, or is not YAML.
    """
    try:
        raw = read_plain(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable file name"
        raise PolicyError([Problem(path, None, f"cannot be read: {reason}", _other_policies(path))]) from None
    return read_document(raw, path), raw


def with_presets(child: Document, file: Path) -> Document:
    """The document with everything that it extends merged underneath.

    Mappings are merged key by key, lists and plug-ins of another kind are replaced. A preset that cannot be used is a
    problem of the line that names it.
    """
    return _extended(child, file, (file.resolve(),))


def extended_files(file: Path) -> Iterator[Path]:
    """The files that a policy is built on, the nearest first.

    Raises:
        PolicyError: one of them cannot be used.
    """
    chain: tuple[Path, ...] = (file.resolve(),)
    while True:
        document, _ = read_file(file)
        wanted = document.data.get("extends")
        if not isinstance(wanted, str):
            return
        place = document.place(("extends",))
        file = _locate(wanted, file, place)
        _check_chain(file, chain, place)
        chain = (*chain, file.resolve())
        yield file


def overridden(document: Document, overrides: Sequence[str]) -> Document:
    """The document after every ``--set path=value``, each a YAML value put in its place."""
    changed = document
    for option in overrides:
        changed = _overridden(changed, option)
    return _with_problems(changed, _lowered_strength(document, changed)) if overrides else document


def _extended(child: Document, file: Path, chain: tuple[Path, ...]) -> Document:
    wanted = child.data.get("extends")
    if not isinstance(wanted, str):
        return child  # absent, or wrong: then the schema says so
    place = child.place(("extends",))
    try:
        preset_file = _locate(wanted, file, place)
        _check_chain(preset_file, chain, place)
        preset, _ = read_file(preset_file)
    except PolicyError as error:
        return _with_problems(child, error.problems)
    preset = _extended(preset, preset_file, (*chain, preset_file.resolve()))
    preset.data.pop("locked", None)
    merged = _merged(preset, child)
    return _with_problems(merged, _lowered_strength(preset, merged))


def _locate(wanted: str, file: Path, place: Place) -> Path:
    if _PRESET_NAME.fullmatch(wanted):
        names = preset_names()
        if wanted in names:
            return resource_folder("policies") / f"{wanted}.yaml"
        raise PolicyError([_at(place, f"`extends`: no preset is called {shown(wanted)}", did_you_mean(wanted, names))])
    path = file.parent / wanted
    try:
        exists = path.is_file()
    except (OSError, ValueError):  # no file can have such a name
        exists = False
    if not exists:
        hint = f"a path relative to this file, or a preset: {', '.join(preset_names())}"
        raise PolicyError([_at(place, f"`extends`: there is no file {shown(wanted)}", hint)])
    return path


def _check_chain(preset_file: Path, chain: tuple[Path, ...], place: Place) -> None:
    if preset_file.resolve() in chain:
        circle = " -> ".join(path.name for path in (*chain, preset_file))
        raise PolicyError([_at(place, f"`extends` goes round in a circle: {circle}", "take one of them out")])
    if len(chain) > MAX_CHAIN:
        raise PolicyError([_at(place, f"`extends` goes more than {MAX_CHAIN} files deep", "merge some of them")])


def _merged(preset: Document, child: Document) -> Document:
    replaced: set[Keys] = set()
    data = _merge(preset.data, child.data, (), replaced)
    kept = {at: place for at, place in preset.places.items() if not _under(at, replaced)}
    broken = child.broken | {at for at in preset.broken if not _under(at, replaced)}
    return Document(data, {**kept, **child.places}, (*child.problems, *preset.problems), broken)


def _merge(under: dict[str, Any], over: dict[str, Any], keys: Keys, replaced: set[Keys]) -> dict[str, Any]:
    """The two mappings as one; ``replaced`` collects the places where nothing is left of the lower one."""
    merged = dict(under)
    for key, value in over.items():
        way = (*keys, key)
        if key in under and _mergeable(under[key], value):
            merged[key] = _merge(under[key], value, way, replaced)
        else:
            merged[key] = value
            replaced.add(way)
    return merged


def _under(at: Keys, ways: Collection[Keys]) -> bool:
    return any(at[:length] in ways for length in range(1, len(at) + 1))


def _mergeable(under: Any, over: Any) -> bool:
    """Two mappings are merged, unless they are plug-ins of different kinds: those share no parameters."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return False
    return all(over.get(key, under.get(key)) == under.get(key, over.get(key)) for key in _KIND_KEYS)


def _lowered_strength(before: Document, after: Document) -> list[Problem]:
    """A stated minimum attack strength can be raised by what builds on it, not lowered: the report would hide it."""
    asked, given = before.data.get("strength"), after.data.get("strength")
    if not (isinstance(asked, dict) and isinstance(given, dict)):
        return []
    problems = []
    for key, less in _WEAKER_IS_LESS.items():
        floor, value = asked.get(key), given.get(key)
        if not (_is_number(floor) and _is_number(value)):
            continue
        if (value < floor) if less else (value > floor):
            message = f"`strength.{key}`: {value} is weaker than the {floor} that it builds on"
            hint = "leave it out: a weaker attack is allowed, and the report says so on page one"
            problems.append(_at(after.place(("strength", key)), message, hint))
    return problems


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _overridden(document: Document, option: str) -> Document:
    path, equals, text = option.partition("=")
    place = Place(Path(f"--set {shown(path)[1:-1]}"), None)
    keys = tuple(int(part) if part.isdecimal() and len(part) < 7 else part for part in path.strip().split("."))
    if not equals or len(keys) > MAX_DEPTH or not all(str(key) for key in keys):
        hint = "write --set path=value, for example --set attacks.0.samples=100"
        return _with_problems(document, [_at(place, "is not of the form path=value", hint)])
    if keys[0] == "extends":
        return _with_problems(document, [_at(place, "a preset is chosen in the policy itself", "edit its `extends`")])
    try:
        value = read_value(text, place.file, numbered=False)
        data = _put(document.data, keys, value.data, place)
    except PolicyError as error:
        return _with_problems(document, error.problems)
    return _replaced(document, keys, data, value, place)


def _replaced(document: Document, keys: Keys, data: dict[str, Any], value: Value, place: Place) -> Document:
    """The document with new data, of which everything at and under ``keys`` comes from ``value``."""
    places = {at: found for at, found in document.places.items() if at[: len(keys)] != keys}
    made = [keys[:length] for length in range(1, len(keys) + 1)]
    places.update({at: place for at in made if at not in places})
    places.update({(*keys, *at): place for at in value.places})
    broken = {at for at in document.broken if at[: len(keys)] != keys} | {(*keys, *at) for at in value.broken}
    return Document(data, places, (*document.problems, *value.problems), frozenset(broken))


def _put(data: Any, keys: Keys, value: Any, place: Place) -> Any:
    """A copy of the data with this value in its place; sections on the way are made, list items are not."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(data, list):
        if not isinstance(key, int) or key >= len(data):
            hint = f"it has {len(data)}: 0 to {len(data) - 1}" if data else "it is empty"
            raise PolicyError([_at(place, f"{shown(str(key))} is no item of that list", hint)])
        return [_put(item, rest, value, place) if at == key else item for at, item in enumerate(data)]
    if data is not None and not isinstance(data, dict):
        raise PolicyError([_at(place, f"there is nothing below {shown(data)}", "shorten the path")])
    section = data or {}
    return {**section, str(key): _put(section.get(str(key)), rest, value, place)}


def _with_problems(document: Document, problems: Sequence[Problem]) -> Document:
    return Document(document.data, document.places, (*document.problems, *problems), document.broken)


def _at(place: Place, message: str, hint: str = "") -> Problem:
    return Problem(place.file, place.line, message, hint)


def _other_policies(path: Path) -> str:
    """What can be read in place of this path: policies inside it, or beside it."""
    try:
        inside = sorted(str(other) for other in path.glob("*.y*ml")) if path.is_dir() else []
        beside = [other.name for other in path.parent.glob("*.y*ml")]
    except (OSError, ValueError):
        inside, beside = [], []
    if inside:
        return one_of(inside)
    return did_you_mean(path.name, beside) if beside else "auditkit init writes a policy to begin with"
