"""Reports kept as files, one of every schema version, and the shape that each version has.

Make those of the version in work again, after a change that is meant, and look at what changed:
    AUDITKIT_UPDATE_GOLDEN=1 python -m pytest tests/report/test_migrations.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from auditkit.report.base import AuditReport
from tests.report.arms_builder import FATES, mitigated_report
from tests.report.test_shown_scoring import FORECAST, LONGER, NO_FORECAST, POWER
from tests.report.worth_builder import worth

FOLDER = Path(__file__).parent / "golden"
UPDATE = os.environ.get("AUDITKIT_UPDATE_GOLDEN") == "1"

Shape = dict[str, dict[str, Any]]
_WORDS_ONLY = ("title", "description")


def report_of_this_version() -> AuditReport:
    """A report with something of everything."""
    parts: dict[str, Any] = {"forecasts": [FORECAST, NO_FORECAST], "lengths": [LONGER], "powers": [POWER]}
    parts["worth"] = worth()
    return mitigated_report(fates=FATES[:4], **parts)


def shape() -> Shape:
    """Every part of a report with its fields: what type, what default, whether it must be there."""
    schema = AuditReport.model_json_schema()
    parts = {"AuditReport": schema, **schema.pop("$defs")}
    return {name: _fields(part) for name, part in sorted(parts.items())}


def _fields(part: dict[str, Any]) -> dict[str, Any]:
    required = part.get("required", [])
    return {
        name: {**_plain(field), "required": name in required}
        for name, field in sorted(part.get("properties", {}).items())
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in sorted(value.items()) if key not in _WORDS_ONLY}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def kept(name: str, content: bytes) -> bytes:
    """What the file of this name holds; ``content`` is written to it first where an update was asked for."""
    path = FOLDER / name
    if UPDATE:
        path.write_bytes(content)
    return path.read_bytes()


def as_lines(found: Shape) -> bytes:
    """A shape as text, so that a change of it can be read."""
    return (json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
