"""A folder that somebody else filled: names, links and JSON are looked at before they are followed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from auditkit.errors import ModelError
from auditkit.models.regular import read_text
from auditkit.models.sandbox import printable

MOST_ENTRIES = 20_000
MOST_JSON = 32 * 2**20
MOST_NAMED = 5  # missing files that an error lists


class ModelFolder:
    """The files of one folder; no file outside it is ever handed out.

    The one exception is a snapshot of the Hugging Face cache, whose files are links into the repository's ``blobs``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def names(self) -> list[str]:
        """The names in the folder, sorted."""
        try:
            found = sorted(entry.name for entry in self.root.iterdir())
        except OSError as error:
            raise ModelError(f"{self.root}: cannot be read: {error.strerror}") from None
        if len(found) > MOST_ENTRIES:
            raise ModelError(f"{self.root}: has {len(found)} files, too many for a model")
        return found

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def present(self, names: Iterable[str]) -> tuple[Path, ...]:
        """Those of the files that are there."""
        return tuple(self.file(name) for name in names if name in self)

    def files(self, names: Iterable[str]) -> tuple[Path, ...]:
        """The files, every one of which must be there."""
        wanted = list(names)
        missing = [printable(name) for name in wanted if name not in self]
        if missing:
            more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
            raise ModelError(
                f"{self.root}: {len(missing)} of {len(wanted)} weight files are missing: "
                f"{', '.join(missing[:MOST_NAMED])}{more}",
                "fetch the model again, all of it",
            )
        return tuple(self.file(name) for name in wanted)

    def file(self, name: str) -> Path:
        """One file of the folder (or of a subfolder, name/name).

        Raises:
            ModelError: it is a link that leads out of the folder, or leads nowhere.
        """
        path = self.root / name
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise ModelError(f"{self.root}: {printable(name)} is a link to nothing", "fetch it again") from None
        if not any(target.is_relative_to(place) for place in self._places):
            raise ModelError(
                f"{self.root}: {printable(name)} is a link that leads out of the folder",
                "put the file itself there, or name the folder that it leads to",
            )
        return path

    @cached_property
    def _places(self) -> tuple[Path, ...]:
        root = self.root.resolve()
        if root.parent.name == "snapshots":
            return root, root.parent.parent / "blobs"
        return (root,)

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object.

        Raises:
            ModelError: it is too large, or something else.
        """
        path = self.file(name)
        try:
            value = json.loads(read_text(path, MOST_JSON))
        except (ValueError, RecursionError) as error:
            where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise ModelError(f"{path}: is not valid JSON{where}") from None
        if not isinstance(value, dict):
            raise ModelError(f"{path}: is not a JSON object")
        return value

    def shards(self, index: str, suffix: str) -> list[str]:
        """The files that an index names, each a plain name with this suffix."""
        found = sorted(set(self._weight_map(index).values()))
        for name in found:
            if Path(name).name != name or not name.endswith(suffix) or not name.isprintable():
                raise ModelError(f"{self.root / index}: {printable(name)!r} is not the name of a {suffix} file")
        if not found:
            raise ModelError(f"{self.root / index}: names no weight files")
        return found

    def tensors_by_shard(self) -> dict[str, set[str]]:
        """What the safetensors index says of which tensor is where."""
        found: dict[str, set[str]] = {}
        for tensor, name in self._weight_map("model.safetensors.index.json").items():
            found.setdefault(name, set()).add(tensor)
        return found

    def _weight_map(self, index: str) -> dict[str, str]:
        found = self.read_json(index).get("weight_map")
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
            raise ModelError(f"{self.root / index}: has no weight_map from tensors to files")
        return found
