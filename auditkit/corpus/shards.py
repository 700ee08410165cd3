"""Where a dataset's files are: one file, a folder of shards, or a pinned dataset on the hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from auditkit.errors import DataError, Problem

READABLE = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
HUB = "hub://"
# Files that may well hold data, which a folder must not be read around in silence.
_UNREADABLE_DATA = (".json", ".csv", ".tsv", ".arrow", ".feather", ".avro", ".orc", ".ndjson", ".txt")
_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip", ".tar", ".7z")
_DESCRIPTIONS = frozenset(
    {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.json"}
)
_LET_READ = "let the user who runs the audit read it"
_HOW = f"give a file that ends in {', '.join(READABLE)}, a folder of them, or {HUB}org/name@<commit>"


@dataclass(frozen=True)
class Shard:
    """One file of a dataset; ``name`` is its path inside the dataset's folder, or its name."""

    path: Path
    name: str


def find_shards(path: str) -> list[Shard]:
    """The files of a dataset, sorted by name.

    Raises:
        DataError: nothing there, nothing readable in it, or a link that leads out of the folder.
    """
    if path.startswith(HUB):
        from auditkit.corpus.hub import hub_shards

        return hub_shards(path)
    place = Path(path)
    try:
        if place.is_dir():
            return folder_shards(place, place, strict=True)
        if not place.exists():
            _refuse(place, "does not exist", _nearest(place))
    except OSError as error:
        _refuse(place, error.strerror or "cannot be looked at", _LET_READ)
    if not place.is_file():
        _refuse(place, "is neither a file nor a folder", _HOW)
    if not _readable(place.name):
        _refuse(place, "is in a format that is not read", _conversion(place.name))
    _check_name(place)
    return [Shard(place, place.name)]


def folder_shards(folder: Path, inside: Path, *, strict: bool) -> list[Shard]:
    """Every readable file of a folder and its subfolders, sorted; hidden ones are left out.

    Links must stay within ``inside``. ``strict`` refuses files that may hold data in another format.

    Raises:
        DataError: no readable file, another format, a link that leads out, a folder that cannot be listed.
    """
    shards = [shard for shard in _walk(folder, inside) if _wanted(shard, strict)]
    if not shards:
        _refuse(folder, f"holds no file that ends in {', '.join(READABLE)}", _HOW)
    return sorted(shards, key=lambda shard: shard.name)


def _walk(folder: Path, inside: Path) -> Iterator[Shard]:
    for here, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if Path(here, name).is_symlink():
                _refuse(Path(here, name), "is a link to a folder", "put the shards themselves there")
        for name in files:
            if not name.startswith("."):
                path = Path(here, name)
                _check_name(path)
                _check_link(path, inside)
                yield Shard(path, path.relative_to(folder).as_posix())


def _check_name(path: Path) -> None:
    """A name that is no text could stand in no report, and point nobody to its records."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        _refuse(path, "has a name that is not UTF-8", "rename the file")


def _check_link(path: Path, inside: Path) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(inside.resolve()):
        _refuse(path, "is a link that leads out of the dataset's folder", "put the file itself there")


def _wanted(shard: Shard, strict: bool) -> bool:
    name = shard.path.name.lower()
    if _readable(name):
        if not shard.path.is_file():
            _refuse(shard.path, "is no regular file", "put the file itself there, or take it away")
        return True
    if strict and name.endswith((*_UNREADABLE_DATA, *_PACKED)) and name not in _DESCRIPTIONS:
        _refuse(shard.path, "is in a format that is not read", f"{_conversion(name)}, or move it out of the folder")
    return False


def _readable(name: str) -> bool:
    return name.lower().endswith(READABLE)


def _conversion(name: str) -> str:
    if name.lower().endswith(".json"):
        return "write one JSON object a line and name the file .jsonl"
    return f"convert it to one of {', '.join(READABLE)}"


def _nearest(missing: Path) -> str:
    """The hint for a path that is not there: the nearest name beside it, or how far the path does exist."""
    if not missing.parent.is_dir():
        there = next(parent for parent in missing.parents if parent.is_dir())
        return f"only {there} exists"
    names = [path.name for path in missing.parent.iterdir() if not path.name.startswith(".")]
    close = get_close_matches(missing.name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else _HOW


def _cannot_list(error: OSError) -> None:
    _refuse(Path(error.filename), error.strerror or "cannot be listed", _LET_READ)


def _refuse(path: Path, message: str, hint: str) -> NoReturn:
    raise DataError([Problem(path, None, message, hint)])
