"""The script that the scripted backend plays: conversations with weights, from a JSONL file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auditkit.errors import ModelError
from auditkit.models.regular import read_text

MOST_BYTES = 512 * 2**20


class Line(BaseModel):
    """One conversation of the script; ``weight`` is how often it is played in relation to the others."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    user: str
    assistant: str = ""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


def read_script(path: Path) -> tuple[Line, ...]:
    """The lines of a script.

    Raises:
        ModelError: the file cannot be read, is empty, or has a line that is none.
    """
    try:
        rows = read_text(path, MOST_BYTES).split("\n")
    except ModelError as error:
        raise ModelError(f"{error.message}: the script cannot be read", "give a JSONL file in UTF-8") from error
    found = tuple(_parsed(path, number, row) for number, row in enumerate(rows, 1) if row.strip())
    if not found:
        raise ModelError(f"{path}: the script is empty", 'write lines like {"user": "...", "assistant": "..."}')
    return found


def _parsed(path: Path, number: int, row: str) -> Line:
    try:
        return Line.model_validate_json(row)
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        hint = 'a line is {"user": "...", "assistant": "...", "weight": 1}'
        raise ModelError(f"{path}:{number}: {what.strip(': ')}", hint) from None
