"""audit.json: the report as canonical JSON (RFC 8785), the one file that every other format is made from.

audit.redacted.json is the same without a word of the data: it outlives a purge, and the redacted formats are made from
it then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import rfc8785
from pydantic import ValidationError

from auditkit import strict_json
from auditkit.errors import AuditkitError
from auditkit.files import read_plain, write_bytes
from auditkit.report.base import AuditReport, ReportFormat
from auditkit.report.migrations import migrated
from auditkit.report.redaction import redact

FILE_NAME, REDACTED = "audit.json", "audit.redacted.json"
LARGEST_FILE = 512 << 20  # bytes: as much as `verify` reads
DEEPEST = 64
LARGEST_INTEGER = 2**53 - 1  # RFC 8785 has no other numbers than IEEE doubles


class JsonFormat(ReportFormat):
    """Canonical JSON: the same report gives the same bytes everywhere."""

    kind: Literal["json"] = "json"
    textless = (REDACTED,)

    def write(self, report: AuditReport, folder: Path) -> list[Path]:
        """Write audit.json (not of a report that is redacted already) and audit.redacted.json.

        Raises:
            AuditkitError: the report holds a figure or text that JSON cannot carry (NaN, infinity, half a character).
        """
        whole = [] if report.redacted else [write_bytes(folder / FILE_NAME, canonical(report))]
        return [*whole, write_bytes(folder / REDACTED, canonical(redact(report)))]


def canonical(report: AuditReport) -> bytes:
    """The report's canonical JSON. Whole numbers beyond 2^53 - 1 (large seeds) become strings, as RFC 8785 advises.

    Raises:
        AuditkitError: NaN, an infinity or a lone surrogate somewhere in the report.
    """
    try:
        return rfc8785.dumps(_exact(report.model_dump(mode="python")))
    except rfc8785.CanonicalizationError as error:
        raise AuditkitError(
            f"the report cannot be written as JSON: {error}", "an undefined figure is None with a reason, never NaN"
        ) from error


def _exact(value: Any) -> Any:
    """The value with integers that a double cannot hold written out as text."""
    if isinstance(value, dict):
        return {str(key): _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return str(value)
    return value


def load(path: Path) -> AuditReport:
    """Read an audit.json of this schema version, or of an earlier one (``migrations``).

    Raises:
        AuditkitError: no such file, no ordinary one, over LARGEST_FILE bytes, not JSON of one reading (a key twice, a
            number that is none, lists in lists beyond DEEPEST), or no report of a schema version that we know.
    """
    try:
        content = strict_json.parse(_read(path))
    except ValueError as error:
        raise AuditkitError(
            f"{path} is not JSON: {str(error)[:120]}", "the file is damaged: take it from a copy of the run"
        ) from error
    if not isinstance(content, dict):
        raise AuditkitError(f"{path} is not an audit report", "give a run folder with audit.json")
    if _is_deeper(content, DEEPEST):
        raise AuditkitError(
            f"{path} is not an audit report: nested over {DEEPEST} levels deep", "take it from a copy of the run"
        )
    try:
        content = migrated(content)
    except AuditkitError as error:
        raise AuditkitError(f"{path}: {error.message}", error.hint) from None
    return _validated(content, path)


def _validated(content: dict[str, Any], path: Path) -> AuditReport:
    try:
        return AuditReport.model_validate(content)
    except ValidationError as error:
        # Only the places: the values may be records.
        places = sorted({".".join(str(step) for step in problem["loc"]) for problem in error.errors()})
        raise AuditkitError(
            f"{path} is not an audit report: wrong or missing at {', '.join(places[:5])}",
            "the file is damaged: take it from a copy of the run",
        ) from None


def _read(path: Path) -> bytes:
    try:
        content = read_plain(path, LARGEST_FILE)
    except OSError as error:
        raise AuditkitError(
            f"cannot read {path}: {error.strerror or error}", "give a run folder with audit.json"
        ) from error
    if len(content) > LARGEST_FILE:
        raise AuditkitError(f"{path} is over {LARGEST_FILE >> 20} MiB", "no run writes such: take it from a copy of it")
    return content


def _is_deeper(content: dict[str, Any], levels: int) -> bool:
    """Whether lists and objects stand in each other beyond so many levels."""
    layer: list[Any] = [content]
    for _ in range(levels):
        held = (item.values() if isinstance(item, dict) else item for item in layer)
        layer = [item for items in held for item in items if isinstance(item, dict | list)]
        if not layer:
            return False
    return True
