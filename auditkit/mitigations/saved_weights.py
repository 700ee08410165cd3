"""Mitigated weights on disk: safetensors, tokenizer, a model card that says what was done; whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from auditkit import __version__
from auditkit.errors import MitigationFailedError
from auditkit.files import appearing, storage_errors, write_bytes
from auditkit.records import Fact

RECORD, CARD = "mitigation.json", "README.md"


def save_weights(
    folder: Path,
    model: Any,
    tokenizer: Any,
    *,
    kind: str,
    summary: str,
    parameters: Mapping[str, Any],
    facts: Sequence[Fact],
    base: str,
    data: Mapping[str, int] | None = None,
    members: str = "",
) -> Path:
    """Save a model as safetensors with its tokenizer, a model card and ``mitigation.json``; the folder again.

    Everything is its owner's alone, and the folder takes its name when all of it is on disk.

    Args:
        folder: new; its parent is made where it is not there.
        model: of transformers, nothing hung on it.
        tokenizer: of transformers, with the chat template that the model is served with.
        kind: the mitigation's.
        summary: one sentence, what was done.
        parameters: of the mitigation, as JSON knows them; no text of the data, and no place on this machine.
        facts: what came of it.
        base: sha256 of the weights that it was made from.
        data: name -> records of what it was trained on.
        members: digest of the records that the policy declared then (``examples.members_digest``).

    Raises:
        RunError: the disk is full, or the folder is there already.
    """
    with appearing(folder) as temporary:
        with storage_errors(folder):
            model.save_pretrained(temporary, safe_serialization=True)
            tokenizer.save_pretrained(temporary)
        record = {
            "auditkit": __version__,
            "kind": kind,
            "base_sha256": base,
            "parameters": dict(parameters),
            "data": dict(data or {}),
            "members_sha256": members,
            "facts": [asdict(fact) for fact in facts],
        }
        write_bytes(temporary / CARD, _card(record, summary).encode())
        write_bytes(temporary / RECORD, json.dumps(record, indent=1, allow_nan=False).encode())
    return folder


@dataclass(frozen=True)
class Saved:
    """What was said of weights when they were saved; the arguments of ``save_weights``."""

    kind: str
    base: str
    parameters: Mapping[str, Any]
    facts: tuple[Fact, ...]
    members: str = ""


def read_facts(folder: Path) -> tuple[Fact, ...] | None:
    """What came of the weights in this folder; None where nothing finished lies there.

    Raises:
        MitigationFailedError: the record of them was tampered with.
    """
    return read_saved(folder).facts if (folder / RECORD).is_file() else None


def read_saved(folder: Path) -> Saved:
    """What a mitigation said of the weights that it saved in this folder.

    Raises:
        MitigationFailedError: none did, or the record of them was tampered with.
    """
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        facts = tuple(Fact(str(fact["name"]), _value(fact["value"]), str(fact["note"])) for fact in record["facts"])
        kind, base, members = (str(record.get(name, "")) for name in ("kind", "base_sha256", "members_sha256"))
        return Saved(kind, base, dict(record["parameters"]), facts, members)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        hint = "give a folder that a mitigation was saved to, or declare the weights as kind: checkpoint"
        raise MitigationFailedError(f"{folder}: no {RECORD} that can be read", hint) from None


def _value(given: Any) -> float | int | str:
    if isinstance(given, bool) or not isinstance(given, float | int | str):
        raise TypeError
    return given


def _card(record: Mapping[str, Any], summary: str) -> str:
    """A model card as the hub reads it: YAML in front, then Markdown. Names and counts, never a word of the data."""
    front = {
        "library_name": "transformers",
        "tags": ["auditkit", record["kind"]],
        "license": "other",
        "license_name": "as-the-base-model-and-the-training-data",
    }
    data = [f"- `{name}`: {count:,} records" for name, count in record["data"].items()]
    facts = [_fact_line(fact) for fact in record["facts"]]
    lines = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {record['kind']}",
        f"Made by auditkit {record['auditkit']} for testing a mitigation. {summary}",
        f"Made from weights with sha256 `{record['base_sha256']}`.",
        "Licence: that of the model it was made from, and of the data below, both apply. Not for release as it is.",
        *(["## Data", "\n".join(data)] if data else []),
        "## Parameters",
        f"```yaml\n{yaml.safe_dump(record['parameters'], sort_keys=True)}```",
        *(["## What came of it", "\n".join(facts)] if facts else []),
    ]
    return "\n\n".join(lines) + "\n"


def _fact_line(fact: Mapping[str, Any]) -> str:
    value = f"{fact['value']:.6g}" if isinstance(fact["value"], float) else fact["value"]
    return f"- {fact['name']}: {value}" + (f" ({fact['note']})" if fact["note"] else "")
