"""What a model says of itself beside its weights: licence and architecture, read as hostile input."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from auditkit.errors import ModelError
from auditkit.models.gguf import read_header
from auditkit.models.model_folder import ModelFolder
from auditkit.models.regular import open_regular
from auditkit.models.sandbox import printable

CARD = "README.md"
MOST_READ = 64 * 2**10  # bytes of a model card
LONGEST = 200  # characters of a licence or an architecture
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)


def declared(path: Path | str) -> tuple[str, str]:
    """(licence, architecture) of a folder or .gguf file, as it declares them; "" for what it does not.

    The licence is the model card's (the front matter of README.md), or ``general.license`` of a GGUF header: usually an
    SPDX id in lower case, and any text where somebody wrote another. A card that cannot be read declares nothing; no
    digest of the model covers it.

    Raises:
        ModelError: config.json or the GGUF header is no such file.
    """
    path = Path(path)
    if not path.is_dir():
        header = read_header(path)
        return _word(header.metadata.get("general.license")), _word(header.architecture)
    folder = ModelFolder(path)
    architectures = folder.read_json("config.json").get("architectures") if "config.json" in folder else None
    return _card_licence(folder), _word(architectures[0] if isinstance(architectures, list) and architectures else "")


def _card_licence(folder: ModelFolder) -> str:
    """Of several licences, all; "other" has its name in ``license_name``."""
    card: dict[str, Any] = {}
    with suppress(ModelError, OSError, yaml.YAMLError, RecursionError):
        card = _front_matter(folder) if CARD in folder else {}
    licence = card.get("license")
    if isinstance(licence, list):
        return _word(", ".join(_word(one) for one in licence[:5]))
    named = _word(card.get("license_name"))
    return named if named and _word(licence).lower() in ("", "other") else _word(licence)


def _front_matter(folder: ModelFolder) -> dict[str, Any]:
    with open_regular(folder.file(CARD)) as (descriptor, _), open(descriptor, "rb", closefd=False) as file:
        text = file.read(MOST_READ).decode("utf-8-sig", errors="replace")
    found = _FRONT_MATTER.match(text)
    value = yaml.load(found[1], Loader=_PlainLoader) if found else None  # noqa: S506  # texts, lists and mappings only
    return value if isinstance(value, dict) else {}


class _PlainLoader(yaml.BaseLoader):
    """Every scalar a text; no aliases, which make megabytes out of a line."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        found: yaml.Node | None = super().compose_node(parent, index)
        return found


def _word(value: Any) -> str:
    return printable(" ".join(value.split())[:LONGEST]) if isinstance(value, str) else ""
